#!/usr/bin/env bash
# What can be said about ci/container/Containerfile.cuda without a container engine: everything it copies is there and in the
# build's context, and with nothing else cargo finds a whole workspace.
set -euo pipefail
cd "$(dirname "$0")/../.."
file=ci/container/Containerfile.cuda
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
while read -r -a words; do
    for source in "${words[@]:1:${#words[@]}-2}"; do
        [ -e "$source" ] || { echo "$file copies $source, which is not there" && exit 1; }
        grep -q -x "!$source" "$file.dockerignore" || { echo "$file copies $source, which $file.dockerignore leaves out" && exit 1; }
        mkdir -p "$context/$(dirname "$source")"
        git ls-files -z --cached --others --exclude-standard "$source" \
            | tar --null --files-from=- --create | tar --extract --directory "$context"
    done
done < <(grep '^COPY ' "$file" | grep -v -- --from=)
cargo metadata --manifest-path "$context/Cargo.toml" --locked --no-deps --format-version 1 > /dev/null
[ -x "$context/ci/rustc-lazy-cuda.sh" ] || { echo "ci/rustc-lazy-cuda.sh is not executable" && exit 1; }
# The settings of the two ways to build with CUDA are the same.
for setting in --compress-mode=size 'rustc-lazy-cuda.sh' 'libcudart_static.a' '--release -p placebench --features cuda --locked' \
    'NEEDED.*lib(cuda|cublas|curand|nvrtc)'; do
    for way in "$file" ci/build-cuda.sh; do
        grep -q -F -- "$setting" "$way" || { echo "$way does not have \`$setting\`, as the other way to build has" && exit 1; }
    done
done
