#!/usr/bin/env bash
# A Slurm job that attributes a data set. What sbatch is given overrides the lines below; all arguments behind the script's
# name go to the program.
#
#   sbatch --nodes 4 --ntasks-per-node 32 slurm.sh --model resnet50.pt2 --manifest photos.csv --output /shared/out
#
#SBATCH --job-name=attribute
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=attribute-%j.log
set -euo pipefail

# ATTRIBUTE_DATASET: the program, if it is not in PATH. It must have been built with the MPI that srun starts.
program=${ATTRIBUTE_DATASET:-attribute_dataset}

# One rank per task, each with its own cores: OpenMP threads of two ranks on one core slow both many times.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export OMP_PROC_BIND=false

# A job that is put back into the queue starts this again, and the program goes on from what is there. When one rank dies the
# others can do nothing more: end them, so that the job ends.
srun --kill-on-bad-exit=1 --cpu-bind=cores --mpi="${SALIENCE_SRUN_MPI:-pmix}" \
  "$program" --threads "$OMP_NUM_THREADS" "$@"
