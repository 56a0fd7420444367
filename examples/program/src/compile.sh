#!/bin/sh
# A compiler, for want of one: makes a program that says what a file says.
echo "#!/bin/sh"
echo "echo '$(cat "$1")'"
