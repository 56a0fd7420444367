group "default" { targets = ["both", "chain"] }

target "_labels" {
  labels          = { "org.example.vendor" = "example", "org.example.shared" = "labels" }
  no-cache-filter = ["fetch"]
  secret          = ["id=token,env=TOKEN"]
}

target "_platforms" {
  platforms       = ["linux/amd64", "linux/arm64"]
  labels          = { "org.example.shared" = "platforms" }
  no-cache-filter = ["compile"]
  entitlements    = ["network.host"]
  tags            = ["inherited:1"]
}

target "both" {
  inherits        = ["_labels", "_platforms"]
  no-cache-filter = ["test"]
  args            = { A = "1", B = "2" }
  secret          = ["id=token,src=token.txt", "id=other"]
}

target "middle" {
  inherits = ["both"]
  args     = { B = "3" }
}

target "chain" {
  inherits     = ["middle"]
  args         = { C = "4" }
  tags         = []
  entitlements = ["security.insecure"]
  description  = "the end of a chain"
}
