#!/bin/sh
# Bundles the editor into FOLDER/editor.min.js, with the licences of all that is in it in FOLDER/LICENSE-editor, from the packages
# that `npm ci` has installed beside this script.
#
#   ./build.sh FOLDER
set -eu
node_modules/.bin/esbuild editor.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --legal-comments=none \
    --log-level=warning --outfile="$1/editor.min.js"
find node_modules -mindepth 2 -maxdepth 3 -name LICENSE -not -path '*esbuild*' | LC_ALL=C sort | while read -r licence; do
    package=${licence#node_modules/}
    printf '%s\n\n' "${package%/LICENSE}"
    cat "$licence"
    printf '\n'
done >"$1/LICENSE-editor"
