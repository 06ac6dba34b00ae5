#!/usr/bin/env bash
# A short session with the program just built, as `make run` shows it: each command, then what it prints.
set -eu
build=${1:-build}
qvec=$build/qvec

show() {
    echo
    echo "\$ qvec $*"
}

show info
"$qvec" info

show tokenize --text "'Hello world.'"
"$qvec" tokenize --text "Hello world."

texts=("A dog runs along the beach." "A puppy plays in the sand by the sea." "The central bank raised interest rates.")
arguments=()
for text in "${texts[@]}"; do arguments+=(--text "$text"); done
show embed "$(printf -- '--text "%s" ' "${texts[@]}")"
answers=$("$qvec" embed "${arguments[@]}")
cut -c1-110 <<<"$answers" | sed 's/$/ …/'

echo
echo "cosines:"
awk -v names="$(printf '%s|' "${texts[@]}")" '
    { sub(/.*"embedding":\[/, ""); sub(/\].*/, ""); n = split($0, v, ","); for (i = 1; i <= n; i++) x[NR, i] = v[i] }
    END {
        split(names, name, "|")
        for (a = 1; a < NR; a++) for (b = a + 1; b <= NR; b++) {
            s = 0
            for (i = 1; i <= n; i++) s += x[a, i] * x[b, i]
            printf "  %+.4f  %s | %s\n", s, name[a], name[b]
        }
    }' <<<"$answers"

cat <<EOM

The built-in model has the published models' shape in small and weights made by rule: its vectors can be reproduced
exactly and mean nothing. With a downloaded checkpoint:

  $qvec embed  PATH/TO/Qwen3-VL-Embedding-2B --text "A dog runs along the beach." --image dog.jpg
  $qvec serve  PATH/TO/Qwen3-VL-Embedding-2B --port 8000
EOM
