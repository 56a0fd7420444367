variable "REGISTRY" {
  default     = "localhost:5000"
  description = "where images are called after"
}

variable "TAG" {
  type    = string
  default = "dev"
  validation {
    condition     = TAG == lower(TAG)
    error_message = "Tags are written in small letters, and this is ${TAG}."
  }
}

variable "IMAGE" {
  default = "${REGISTRY}/shop"
}

variable "PORT" {
  type    = number
  default = 8080
}

variable "DEBUG" {
  default = false
}

variable "PLATFORMS" {
  type    = list(string)
  default = ["linux/amd64"]
}

variable "EXTRA" {
  type    = map(string)
  default = {}
}

variable "TOKEN" {
  type    = string
  default = null
}

target "default" {
  args = merge({
    PORT  = PORT
    DEBUG = DEBUG
    LEVEL = DEBUG ? "debug" : "info"
    TOKEN = TOKEN
    IMAGE = IMAGE
  }, EXTRA)
  platforms = PLATFORMS
  tags      = ["${IMAGE}:${TAG}", "${IMAGE}/debug:${TAG}"]
}
