#!/usr/bin/env bash
# debian_package.sh BUILD_TREE FOLDER CTEST CUDA OPTION...: makes the Debian package of BUILD_TREE in FOLDER, installs it,
# and builds the project find_package against it, with ctest's options, and then with the option CUDA, too. As root, unless the package is installed
# already, apt installs it into this machine and removes it again. Else apt says whether it could, and the package is
# unpacked in FOLDER.
set -euo pipefail
tree=$1 folder=$2 ctest=$3 cuda=$4
shift 4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=libsalience-dev

stop() {
  printf '%s\n' "$*" >&2
  exit 1
}

rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
"$(dirname "$ctest")/cpack" --config "$tree/CPackConfig.cmake" -B "$folder/packages"
package=$(echo "$folder"/packages/${name}_*_all.deb)
[[ -f $package ]] || stop "cpack made no $package"
dpkg-deb --field "$package"
[[ $(dpkg-deb --field "$package" Depends) == "libeigen3-dev "* ]] || stop "The package does not depend on Eigen"
[[ $(dpkg-deb --field "$package" Recommends) == *libtorch-dev* ]] || stop "The package does not recommend LibTorch"

files=$(dpkg-deb --fsys-tarfile "$package" | tar --list)
for file in include/salience/salience.hpp share/cmake/Salience/Salience{Config,TorchFolder}.cmake share/pkgconfig/salience.pc \
  share/doc/$name/{copyright,changelog.gz,changelog.Debian.gz,README.md,docs/architecture.md}; do
  grep -qx "./usr/$file" <<<"$files" || stop "The package has no /usr/$file"
done
others=$(grep -v '/$' <<<"$files" |
  grep -vE "^\./usr/(include/salience|share/cmake/Salience|share/pkgconfig|share/doc/$name)/" || true)
[[ -z $others ]] || stop "The package has files in strange places: $others"
if command -v lintian >/dev/null; then  # of a package that is not for Debian's own archive
  lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$package"
else
  echo "lintian is not installed, so it was not asked"
fi

apt=(apt-get --quiet=2 --no-install-recommends -o DPkg::Lock::Timeout=60 -o Dpkg::Use-Pty=0)
export DEBIAN_FRONTEND=noninteractive
status=$(dpkg-query --show --showformat='${db:Status-Status}' $name 2>/dev/null || true)
if ((EUID == 0)) && [[ $status != installed ]]; then
  trap '"${apt[@]}" --yes remove "$name"' EXIT
  "${apt[@]}" --yes --no-remove install "$package"
  expected=^/usr/share/cmake/Salience
else
  "${apt[@]}" --simulate install "$package"
  dpkg-deb --extract "$package" "$folder/root"
  expected=^$folder/root/
  export CMAKE_PREFIX_PATH=$folder/root/usr
fi
build() {
  "$ctest" --build-and-test "$here/find_package" "$folder/$1" "${@:2}" "-DEXPECTED_SALIENCE_DIR=$expected" \
    --test-command consumer
}
build consumer "$@"
build cuda_consumer "$@" "$cuda" | tee "$folder/cuda.log"
grep -q "libtorch_cuda is loaded" "$folder/cuda.log" || stop "The program of a LibTorch with CUDA does not load it"
