variable "REPO" { default = "example" }

group "default" { targets = ["lib", "app"] }

target "lib" {
  matrix = {
    python = ["3.12", "3.13"]
    variant = [
      { name = "full", features = ["tls", "http2"] },
      { name = "slim", features = [] },
    ]
  }
  name = "lib-py${replace(python, ".", "")}-${variant.name}"
  args = {
    PYTHON   = python
    FEATURES = join(",", variant.features)
  }
  platforms = variant.name == "full" ? ["linux/amd64", "linux/arm64"] : ["linux/amd64"]
  tags = ["${REPO}/lib:py${python}-${variant.name}"]
}

target "app" {
  name     = "app-${item}"
  matrix   = { item = ["a", "b"] }
  contexts = { lib = "target:lib-py313-full" }
  dockerfile = "docker/${item}.Dockerfile"
  tags     = [for suffix in ["", "-latest"] : "${REPO}/${item}${suffix}:1"]
}
