#!/bin/sh
# Says hello in a language.
case "$1" in
de) echo "Hallo" ;;
*) echo "Hello" ;;
esac
