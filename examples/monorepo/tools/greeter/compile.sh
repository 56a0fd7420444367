# Stands for a compiler: writes a program that greets in the language that it was built for.
cat <<'EOF'
#!/bin/sh
case $LANGUAGE in
de) echo "Willkommen bei $1" ;;
fr) echo "Bienvenue sur $1" ;;
*) echo "Welcome to $1" ;;
esac
EOF
