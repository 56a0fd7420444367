group "release" { targets = ["web", "check"] }

target "web" {
  args      = { B = "bake" }
  platforms = ["linux/amd64", "linux/arm64"]
  labels    = { "org.example.also" = "bake" }
}

target "check" {
  inherits = ["web"]
  target   = "check"
  output   = ["type=cacheonly"]
}
