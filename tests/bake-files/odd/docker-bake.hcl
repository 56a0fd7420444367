// Comments of all kinds, odd white space, and letters that need care.
/* many
   lines */
variable "Q" { default = "quote\" back\\slash 'single' ''' tab\t ünïcode 😀 $" }

target "default" {
  args = {
    PLAIN   = Q
    AROUND  = "<${Q}>"
    DOLLAR  = "$${Q} $Q $$ ${"$"}{Q}"
    "dotted.key with space" = "x"
    (upper("computed")) = "y"
    EMPTY   = ""
    LINES   = "one\ntwo\r\nthree"
    NUMBER  = 12345678901
    FLOAT   = 0.1
    SUM     = 0.1 + 0.2
    MINUS   = -3 % 2
  } # at the end
  tags = [
    "a:1", # a comma at the end is fine
  ]
}
