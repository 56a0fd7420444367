# What most people begin with.
group "default" {
  targets = ["api", "web"]
}

target "api" {
  context    = "services/api"
  dockerfile = "Dockerfile"
  tags       = ["shop/api:latest"]
}

target "web" {
  context = "services/web"
  target  = "release"
  tags    = ["shop/web:latest", "shop/web:stable"]
}
