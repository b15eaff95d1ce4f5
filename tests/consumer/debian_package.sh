#!/usr/bin/env bash
# debian_package.sh BUILD_TREE FOLDER CTEST CUDA OPTION...: makes the Debian packages of BUILD_TREE in FOLDER, installs them,
# runs `salience attribute`, and builds the project find_package, with ctest's options, and then with the option CUDA, too.
# As root, unless a package is installed already, apt installs them into this machine and removes them again. Else apt says
# whether it could, and the packages are unpacked in FOLDER.
set -euo pipefail
tree=$1 folder=$2 ctest=$3 cuda=$4
shift 4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=libsalience-dev
data=$here/../../examples/data

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
tools=$(echo "$folder"/packages/salience-tools_*_"$(dpkg --print-architecture)".deb)
[[ -f $tools ]] || stop "cpack made no $tools"
dpkg-deb --field "$tools"
for library in libc6 libstdc++6; do
  [[ $(dpkg-deb --field "$tools" Depends) == *"$library "* ]] || stop "salience-tools does not depend on $library"
done
files=$(dpkg-deb --fsys-tarfile "$tools" | tar --list)
for file in bin/{salience,attribute} share/doc/salience-tools/{copyright,changelog.gz,changelog.Debian.gz}; do
  grep -qx "./usr/$file" <<<"$files" || stop "salience-tools has no /usr/$file"
done
others=$(grep -v '/$' <<<"$files" | grep -vE "^\./usr/(bin|share/doc/salience-tools)/" || true)
[[ -z $others ]] || stop "salience-tools has files in strange places: $others"

if command -v lintian >/dev/null; then  # of a package that is not for Debian's own archive
  # The folder of a LibTorch that is not Debian's stands in the programs; they have --help instead of manual pages.
  lintian --allow-root --fail-on error,warning \
    --suppress-tags initial-upload-closes-no-bugs,custom-library-search-path,no-manual-page "$package" "$tools"
else
  echo "lintian is not installed, so it was not asked"
fi

apt=(apt-get --quiet=2 --no-install-recommends -o DPkg::Lock::Timeout=60 -o Dpkg::Use-Pty=0)
export DEBIAN_FRONTEND=noninteractive
status=$(dpkg-query --show --showformat='${db:Status-Status} ' $name salience-tools 2>/dev/null || true)
if ((EUID == 0)) && [[ " $status" != *" installed "* ]]; then
  trap '"${apt[@]}" --yes remove "$name" salience-tools' EXIT
  "${apt[@]}" --yes --no-remove install "$package" "$tools"
  expected=^/usr/share/cmake/Salience
  salience=/usr/bin/salience
else
  "${apt[@]}" --simulate install "$package" "$tools"
  dpkg-deb --extract "$package" "$folder/root"
  dpkg-deb --extract "$tools" "$folder/root"
  expected=^$folder/root/
  export CMAKE_PREFIX_PATH=$folder/root/usr
  salience=$folder/root/usr/bin/salience
fi
"$salience" --version
"$salience" attribute --model "$data/scenes.pt" --image "$data/scene_heart.png" --labels "$data/labels.txt" --size 96x96 \
  --output "$folder/out" | tee "$folder/attribute.log"
grep -q '^target: heart' "$folder/attribute.log" || stop "The installed program does not see a heart"
[[ -f $folder/out/vanilla_overlay.png ]] || stop "The installed program writes no pictures"
build() {
  "$ctest" --build-and-test "$here/find_package" "$folder/$1" "${@:2}" "-DEXPECTED_SALIENCE_DIR=$expected" \
    --test-command consumer
}
build consumer "$@"
build cuda_consumer "$@" "$cuda" | tee "$folder/cuda.log"
grep -q "libtorch_cuda is loaded" "$folder/cuda.log" || stop "The program of a LibTorch with CUDA does not load it"
