variable "USERS" {
  type = list(object({ name = string, id = number, admin = optional(bool) }))
  default = [
    { name = "ann", id = 1000, admin = true },
    { name = "bob", id = 1001 },
  ]
}
variable "BASE" { default = "alpine" }

target "default" {
  dockerfile-inline = <<-EOT
    FROM ${BASE}
    %{~ for user in USERS }
    RUN adduser -D -u ${user.id} ${user.name}%{ if user.admin != null && user.admin } && addgroup ${user.name} wheel%{ endif }
    %{~ endfor }
    ENV PATH=$${PATH}:/opt
  EOT
  args = {
    TEXT   = <<EOT
  kept as it is: ${BASE}
EOT
    INLINE = "users: %{ for i, user in USERS }%{ if i > 0 }, %{ endif }${user.name}%{ endfor }."
    PERCENT = "100%% and %%{ if } and $${x} and $x"
  }
}
