variable "VERSION" { default = "v1.4.2" }
variable "BRANCH" { default = "feature/Login_Form" }

parts = split(".", trimprefix(VERSION, "v"))

function "tags" {
  params          = [name]
  variadic_params = more
  result          = concat([for tag in concat([VERSION], more) : "example/${name}:${tag}"])
}

function "clean" {
  params = [text]
  result = lower(regex_replace(text, "[^a-zA-Z0-9]+", "-"))
}

target "default" {
  tags = tags("app", "${parts[0]}.${parts[1]}", parts[0], clean(BRANCH))
  args = {
    MAJOR     = parts[0]
    NEXT      = "${parts[0]}.${add(parts[1], 1)}.0"
    IS_NEW    = semvercmp(VERSION, ">= 1.4")
    NAMES     = join(",", sort(distinct(flatten([["b", "a"], ["a", ["c"]]]))))
    ENCODED   = base64encode("${VERSION}!")
    JSON      = jsonencode({ version = VERSION, list = [1, true, null] })
    HASH      = substr(sha256(BRANCH), 0, 12)
    PADDED    = format("%05d|%-6s|%q", 42, "ab", "c")
    DATE      = formattimestamp("YYYY-MM-DD", 86400)
    BUILT     = timestamp()
    FALLBACK  = try(parts[7], "none")
    PRODUCT   = length(setproduct(["a", "b"], ["x", "y", "z"]))
    LOOKUP    = lookup({ a = "1" }, "b", "2")
    BASE      = basename("/srv/app.tar.gz")
    SANITIZED = sanitize("1.2+x")
  }
  labels = {
    "org.opencontainers.image.version" = VERSION
    "org.example.${clean(BRANCH)}"     = title("a branch")
  }
}
