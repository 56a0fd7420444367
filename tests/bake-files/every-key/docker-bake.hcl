target "default" {
  description       = "as much as possible"
  context           = "./src"
  contexts          = { layout = "oci-layout:///tmp/layout:1", repository = "https://github.com/example/app.git#main" }
  dockerfile        = "a/Dockerfile"
  args              = { A = 1, B = true, C = "c" }
  labels            = { "a.b" = "c" }
  annotations       = ["manifest:a=b"]
  tags              = ["x:1"]
  target            = "t"
  secret            = [{ id = "a", src = "b" }, { type = "env", id = "c", source = "D" }, "id=e,env=F"]
  ssh               = [{ id = "default" }, { id = "k", paths = ["one", "two"] }, "l=three"]
  platforms         = ["linux/amd64"]
  output            = [{ type = "oci", dest = "x.tar" }, "type=local,dest=y"]
  cache-from        = [{ type = "registry", ref = "c:1" }, "type=local,src=cache"]
  cache-to          = ["type=inline"]
  pull              = true
  no-cache          = false
  no-cache-filter   = ["t"]
  network           = "none"
  shm-size          = "128m"
  ulimits           = ["nofile=1024:2048"]
  entitlements      = ["network.host"]
  extra-hosts       = { "a.local" = "10.0.0.1" }
  attest            = [{ type = "provenance", mode = "max" }, "type=sbom"]
  call              = "check"
}
