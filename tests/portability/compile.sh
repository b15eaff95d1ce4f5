# Compiles each source into FOLDER, one after the other: compile.sh [--program PROGRAM] FOLDER SOURCE... -- COMPILER...
# With --program the same compiler links them.
set -eu
program=
if [ "$1" = --program ]; then
  program=$2
  shift 2
fi
folder=$1
shift
sources=
while [ "$1" != -- ]; do
  sources="$sources
$1"
  shift
done
shift
mkdir -p "$folder"
IFS='
'
objects=
for source in $sources; do
  object=$folder/$(basename "$source" .cpp).o
  "$@" -c "$source" -o "$object"
  objects="$objects
$object"
done
[ -z "$program" ] || "$@" $objects -o "$program"
