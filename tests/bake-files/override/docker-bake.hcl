variable "TAG" { default = "base" }
suffix = "one"

group "default" { targets = ["app"] }

target "app" {
  context = "app"
  args    = { A = "1", B = "1", SUFFIX = suffix }
  tags    = ["app:${TAG}"]
  no-cache-filter = ["a"]
}
