#!/usr/bin/env bash
# Makes sure that the Debian packages named as arguments are there: installs what is missing when root or
# passwordless sudo allows, otherwise prints the one line to paste and fails. Elsewhere than on Debian and its
# children it does nothing: Meson will name what it cannot find.
set -eu
command -v dpkg-query >/dev/null || exit 0
present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
missing=()
for package in "$@"; do
    grep -qx -- "$package" <<<"$present" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "Some packages are missing. Please run:" >&2
    echo "sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -q --no-install-recommends "${missing[@]}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists may be absent or old: one refresh, one more try.
if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >"$log" 2>&1; then
    "${as_root[@]}" apt-get update -q >"$log" 2>&1 || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >>"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        exit 1
    }
fi
