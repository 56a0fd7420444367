group "default" { targets = ["all"] }
group "all" {
  description = "everything there is"
  targets     = ["backend", "frontend", "tools"]
}
group "backend" { targets = ["api", "db"] }
group "frontend" { targets = ["web", "api"] }
group "tools" { targets = ["tools"] }

target "tools" { context = "tools" }
target "api" { contexts = { base = "target:base" } }
target "db" { contexts = { base = "target:base" } }
target "web" { contexts = { api = "target:api", assets = "./assets", node = "docker-image://node:22" } }
target "base" { dockerfile = "base.Dockerfile" }
