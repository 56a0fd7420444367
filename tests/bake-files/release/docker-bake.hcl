variable "GITHUB_REF" { default = "refs/tags/v2.5.0" }
variable "REGISTRIES" {
  type    = set(string)
  default = ["ghcr.io/example", "docker.io/example"]
}

is_tag  = can(regex("^refs/tags/v", GITHUB_REF))
version = is_tag ? trimprefix(GITHUB_REF, "refs/tags/v") : "edge"
short   = is_tag ? join(".", slice(split(".", version), 0, 2)) : ""

group "default" { targets = ["image", "image-debug"] }

target "meta" {
  labels = {
    for name, value in { version = version, source = "https://example.org/app" } :
    "org.opencontainers.image.${name}" => value
  }
  annotations = ["index,manifest:org.opencontainers.image.version=${version}", "org.example.plain=a=b"]
}

target "image" {
  inherits  = ["meta"]
  platforms = [BAKE_LOCAL_PLATFORM, "linux/arm64"]
  tags = flatten([
    for registry in REGISTRIES : [
      "${registry}/app:${version}",
      notequal("", short) ? "${registry}/app:${short}" : "",
    ]
  ])
}

target "image-debug" {
  inherits = ["image"]
  target   = "debug"
  args     = merge(target.meta.labels, { CONTEXT = target.image.name, TAGS = length(target.image.tags) })
  tags     = [for tag in target.image.tags : "${tag}-debug" if tag != ""]
  context  = BAKE_CMD_CONTEXT
}
