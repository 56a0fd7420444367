variable "TAG" { default = "override" }
suffix = "two"

group "default" { targets = ["app", "more"] }

target "app" {
  args = { B = "2", C = "2" }
  no-cache-filter = ["b"]
  platforms = ["linux/arm64"]
}

target "more" {
  inherits = ["app"]
  context  = "more"
}
