# Sourced by examples/quickstart.sh and tests/run.sh: installs what is missing, finds LibTorch, and keeps
# apt, pip, CMake and the compiler quiet. What is there already is only looked at, which takes a moment.
#
#   begin NAME                  logs go to build/NAME.log; must come first
#   need PACKAGE...             installs the Debian packages whose files are missing (see `present`)
#   want PACKAGE...             the same for what can be done without
#   find_torch                  sets TORCH_DIR, the folder of TorchConfig.cmake, and TORCH_VERSION
#   find_peers                  sets PEERS, a Python with the libraries that the parity tests compare with
#   configure FOLDER OPTION...  runs CMake in FOLDER; leaves it alone when nothing changed
#   configure_with_torch FOLDER OPTION...  the same for LibTorch, into the log; if CMake cannot take that of `find_torch`,
#                               says so and takes our own
#   stage SENTENCE COMMAND...   says the sentence, runs the command into the log, and says how long it took

set -euo pipefail

SALIENCE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SALIENCE_BUILD=${SALIENCE_BUILD:-$SALIENCE_ROOT/build}
TORCH_TO_INSTALL=2.13.0  # where the user has none

# ---- what a person reads -------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }

stop() {
  printf '%s\n' "$*" >&2
  exit 1
}

begin() {
  mkdir -p "$SALIENCE_BUILD"
  LOG=$SALIENCE_BUILD/$1.log
  : >"$LOG"
}

# Of the last command's output the errors if there are any, else the last lines: enough to know what went wrong.
show_log() {
  local last
  last=$(tail -c "+$LOGGED" "$LOG")
  {
    grep -E '(error|Error)( at |:)|undefined reference|^E: ' <<<"$last" | head -n 20 || tail -n 20 <<<"$last"
    say "The whole log is in $LOG"
  } >&2
}

# Runs a command into the log; its failure is the caller's to handle.
LOGGED=1  # where the last command's output begins in the log
logged() {
  LOGGED=$(($(wc -c <"$LOG") + 1))
  printf '\n$ %s\n' "$*" >>"$LOG"
  "$@" >>"$LOG" 2>&1 </dev/null
}

# Returns the command's failure after having shown its log; STAGES remembers what each stage took.
STAGES=()
stage() {
  local sentence=$1 start=$SECONDS status=0
  shift
  printf '%s ... ' "$sentence"
  logged "$@" || status=$?
  local took=$((SECONDS - start))
  STAGES+=("$(printf '%5d s  %s' "$took" "$sentence")")
  if ((status)); then
    say "failed after $took s"
    show_log
  else
    say "$took s"
  fi
  return "$status"
}

# ---- Debian packages -----------------------------------------------------------------------------------------

# Is there a header of this name where a compiler or CMake looks for it?
header() {
  local folder
  local IFS=':;'
  for folder in /usr/include /usr/local/include ${CPATH:-} ${CPLUS_INCLUDE_PATH:-}; do
    [[ -e $folder/$1 ]] && return
  done
  for folder in ${CMAKE_PREFIX_PATH:-} ${CONDA_PREFIX:-}; do
    [[ -e $folder/include/$1 ]] && return
  done
  return 1
}

program() { command -v "$1" >/dev/null; }

# Is what we need of this Debian package there, wherever it came from?
present() {
  case $1 in
    g++) program "${CXX:-g++}" ;;
    clang) program clang++ ;;
    libclang-rt-dev) [[ -e $(clang++ -print-file-name="libclang_rt.fuzzer-$(uname -m).a" 2>/dev/null) ]] ;;
    ninja-build) program ninja ;;
    libeigen3-dev) header eigen3/Eigen/Core || header Eigen/Core ;;
    libstb-dev) header stb/stb_image_write.h ;;
    doctest-dev) header doctest/doctest.h ;;
    libcli11-dev) header CLI/CLI.hpp ;;
    nlohmann-json3-dev) header nlohmann/json.hpp ;;
    librapidcheck-dev) header rapidcheck.h ;;
    libbenchmark-dev) header benchmark/benchmark.h ;;
    libopencv-imgproc-dev) header opencv4/opencv2/imgproc.hpp || header opencv2/imgproc.hpp ;;
    libssl-dev) header openssl/evp.h ;;
    libopenmpi-dev) program mpirun && [[ -n $(find /usr/lib /usr/include -name mpi.h -print -quit 2>/dev/null) ]] ;;
    libtorch-dev) [[ -n $(debian_torch_dir) ]] ;;
    g++-aarch64-linux-gnu) program aarch64-linux-gnu-g++ ;;
    qemu-user-static) program qemu-aarch64-static ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    *) program "$1" ;;
  esac
}

missing() {
  local package
  for package; do
    present "$package" || say "$package"
  done
}

apt_install() {
  local -a as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  "${as_root[@]}" apt-get update || true  # an old list may still do
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

can_install() { program apt-get && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

need() {
  local -a packages
  mapfile -t packages < <(missing "$@")
  ((${#packages[@]})) || return 0
  if can_install; then
    stage "Installing ${packages[*]}" apt_install "${packages[@]}" || true
    mapfile -t packages < <(missing "$@")
    ((${#packages[@]})) || return 0
  fi
  local problem="Missing, and not to be installed from here (that takes apt-get and root): ${packages[*]}"
  if [[ ${packages[*]} == ccache ]]; then  # it only saves time
    say "$problem"
  else
    stop "$problem. On Debian: apt-get install ${packages[*]}"
  fi
}

# As `need`, but goes on without what cannot be installed.
want() {
  local -a packages
  mapfile -t packages < <(missing "$@")
  ((${#packages[@]})) && can_install || return 0
  stage "Installing ${packages[*]}" apt_install "${packages[@]}" || true
}

# ---- Python --------------------------------------------------------------------------------------------------

# Has this Python all of these packages? A look at their metadata, which pip writes last; importing torch takes seconds.
installed() {
  local python=$1
  shift
  "$python" -c '
import importlib.metadata, sys
for name in sys.argv[1:]:
    importlib.metadata.version(name)' "$@" 2>/dev/null
}

venv() {
  [[ -x $1/bin/python ]] && return
  need python3-venv
  stage "Making a virtual environment in $1" python3 -m venv "$1" || exit 1
}

pip_install() {
  local python=$1
  shift
  local names="$*"
  stage "Installing ${names#--no-deps } with pip" "$python" -m pip install --disable-pip-version-check "$@" || exit 1
}

# ---- LibTorch ------------------------------------------------------------------------------------------------

# The first of these folders that has a TorchConfig.cmake.
torch_config_in() {
  local folder
  for folder; do
    if [[ -f $folder/TorchConfig.cmake ]]; then
      (cd "$folder" && pwd)
      return
    fi
  done
}

torch_under_prefix() {
  torch_config_in "$1"/{share/cmake,lib/cmake,lib/*/cmake,cmake,.}/Torch "$1"
}

torch_of_environment() {
  local prefix found
  found=$(torch_config_in "${Torch_DIR:-}")
  local IFS=':;'
  for prefix in ${CMAKE_PREFIX_PATH:-}; do
    [[ -n $found ]] || found=$(torch_under_prefix "$prefix")
  done
  printf '%s' "$found"
}

torch_of_python() {
  local package
  package=$("$1" -c '
import importlib.util as find
spec = find.find_spec("torch")
print(spec.submodule_search_locations[0] if spec else "")' 2>/dev/null) || return 0
  [[ -z $package ]] || torch_config_in "$package/share/cmake/Torch"
}

debian_torch_dir() { torch_config_in /usr/lib/*-linux-gnu*/cmake/Torch; }

torch_version() { sed -n 's/.*PACKAGE_VERSION "\([0-9.]*\).*/\1/p' "$1/TorchConfigVersion.cmake" | head -n 1; }

# PyPI's torch for Linux brings CUDA, which is several GB; that of PyTorch's own index, where it can be reached, does not.
cpu_index() {
  local index=https://download.pytorch.org/whl/cpu
  "$1" -c 'import sys, urllib.request as url; url.urlopen(sys.argv[1], timeout=5)' "$index/torch/" 2>/dev/null || return 0
  printf '%s\n' --extra-index-url "$index"
}

# The LibTorch in our own virtual environment.
own_torch() {
  venv "$SALIENCE_BUILD/venv"
  local python=$SALIENCE_BUILD/venv/bin/python
  if ! installed "$python" torch; then
    local -a index
    mapfile -t index < <(cpu_index "$python")
    pip_install "$python" "torch==$TORCH_TO_INSTALL" "${index[@]}"
  fi
  TORCH_DIR=$(torch_of_python "$python")
  [[ -n $TORCH_DIR ]] || stop "The torch in $SALIENCE_BUILD/venv has no CMake files; remove that folder and try again."
  TORCH_VERSION=$(torch_version "$TORCH_DIR")
  say "LibTorch $TORCH_VERSION: $TORCH_DIR"
}

find_torch() {
  TORCH_DIR=$(torch_of_environment)
  [[ -n $TORCH_DIR ]] || TORCH_DIR=$(torch_of_python python3)
  if [[ -z $TORCH_DIR ]]; then
    own_torch
    return
  fi
  TORCH_VERSION=$(torch_version "$TORCH_DIR")
  say "LibTorch $TORCH_VERSION: $TORCH_DIR"
}

# A torch equal to the one we build against: that very one if our Python can import it, else its version from pip.
find_peers() {
  local folder=$SALIENCE_BUILD/venv package=${TORCH_DIR%/share/cmake/Torch}
  if [[ $TORCH_DIR != "$folder"/* ]]; then
    folder=$SALIENCE_BUILD/venv-peers
    venv "$folder"
    local site
    site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if [[ ! -d $site/torch && ! -f $site/salience_torch.pth ]]; then
      printf '%s\n' "${package%/torch}" >"$site/salience_torch.pth"
      "$folder/bin/python" -c 'import torch' 2>/dev/null || rm "$site/salience_torch.pth"
    fi
  fi
  PEERS=$folder/bin/python
  local version=$TORCH_VERSION
  [[ $version == 2.* ]] || version=$TORCH_TO_INSTALL  # today's Pythons have no older one
  installed "$PEERS" torch || pip_install "$PEERS" "torch==$version"
  installed "$PEERS" numpy pillow matplotlib scipy || pip_install "$PEERS" numpy pillow matplotlib scipy
  # torchvision 0.28 belongs to torch 2.13, 0.27 to 2.12, and so on
  local minor=${version#2.}
  installed "$PEERS" torchvision || pip_install "$PEERS" --no-deps "torchvision==0.$((${minor%%.*} + 15)).*"
  installed "$PEERS" captum tqdm packaging || pip_install "$PEERS" --no-deps captum tqdm packaging
  installed "$PEERS" grad-cam ttach || pip_install "$PEERS" --no-deps grad-cam==1.5.7 ttach==0.0.3  # pytorch-grad-cam
  installed "$PEERS" quantus || pip_install "$PEERS" --no-deps quantus==0.6.0
  installed "$PEERS" zennit || pip_install "$PEERS" --no-deps zennit==0.5.1
  # for what docs/how-to/export.md shows
  installed "$PEERS" timm || pip_install "$PEERS" --no-deps timm==1.0.31 safetensors pyyaml huggingface_hub
  installed "$PEERS" saliency || pip_install "$PEERS" --no-deps saliency==0.2.1  # PAIR's
  installed "$PEERS" scikit-image imageio tifffile lazy-loader networkx ||
    pip_install "$PEERS" --no-deps scikit-image==0.26.0 imageio tifffile lazy-loader networkx
  # for Captum's LIME and KernelShap
  installed "$PEERS" scikit-learn joblib threadpoolctl cloudpickle narwhals ||
    pip_install "$PEERS" --no-deps scikit-learn==1.9.1 joblib threadpoolctl cloudpickle narwhals
  installed "$PEERS" ziglang || pip_install "$PEERS" --no-deps ziglang==0.16.0  # Clang 21 for tests/portability
}

# ---- CMake ---------------------------------------------------------------------------------------------------

# Caffe2 is LibTorch's own package; naming it keeps another LibTorch of this machine out.
torch_options() { printf '%s\n' "-DTorch_DIR=$1" "-DCaffe2_DIR=${1%/Torch}/Caffe2"; }

configure() {
  local folder=$1
  shift
  local -a command=(cmake -S "$SALIENCE_ROOT" -B "$folder" -G Ninja "$@")
  if [[ -f $folder/build.ninja && $(cat "$folder/configured-as" 2>/dev/null) == "${command[*]}" ]]; then
    return  # ninja itself notices changed CMake files
  fi
  rm -f "$folder/CMakeCache.txt"
  "${command[@]}" && printf '%s\n' "${command[*]}" >"$folder/configured-as"
}

configure_with_torch() {
  local folder=$1
  local -a torch
  shift
  mapfile -t torch < <(torch_options "$TORCH_DIR")
  logged configure "$folder" "${torch[@]}" "$@" && return
  local errors
  errors=$(tail -c "+$LOGGED" "$LOG" | grep -A 8 'CMake Error' || true)
  [[ $errors == *[Tt]orch* && $TORCH_DIR != "$SALIENCE_BUILD"/venv/* ]] || return 1
  say "CMake cannot take this LibTorch ($LOG says why): taking our own, for the CPU"
  own_torch
  mapfile -t torch < <(torch_options "$TORCH_DIR")
  logged configure "$folder" "${torch[@]}" "$@"
}
