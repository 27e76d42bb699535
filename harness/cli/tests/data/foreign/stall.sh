# A worker in the shell's own words: it loads, makes two tokens, and never comes back from a hop.
word() { # position, value below 256
  printf "\\$(printf %o "$2")" | dd of="$PLACEBENCH_BREADCRUMB" bs=1 seek=$(($1 * 8)) conv=notrunc 2>/dev/null
}
printf placebc1 | dd of="$PLACEBENCH_BREADCRUMB" bs=1 conv=notrunc 2>/dev/null
cat said.ndjson
word 2 7 # phase decode
word 4 3 # token 2
word 6 0 # the first
word 5 2 # hop
exec sleep 100000
