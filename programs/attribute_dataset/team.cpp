#include "team.hpp"

#include <array>
#include <cstdlib>

#ifdef SALIENCE_WITH_MPI
#include <mpi.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "exact.hpp"
#endif

namespace {

class Alone : public Team {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int sharing(std::uint64_t /*number*/) override { return 1; }
  void send(int /*rank*/, const std::string& /*message*/) override {}
  std::optional<std::pair<int, std::string>> receive() override { return {}; }
  std::string from_first(std::string text) override { return text; }
  void sum(std::span<std::uint64_t> /*words*/, std::size_t /*width*/) override {}
  void maximum(std::span<std::int64_t> /*values*/) override {}
  [[noreturn]] void abort() override { std::exit(1); }
};

#ifdef SALIENCE_WITH_MPI

/// Errors need no handling here: MPI's own handler ends the run.
class Ranks : public Team {
 public:
  Ranks() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  ~Ranks() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  int sharing(std::uint64_t number) override {
    MPI_Comm machine = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    int ranks = 0;
    MPI_Comm_size(machine, &ranks);
    std::vector<std::uint64_t> numbers(static_cast<std::size_t>(ranks));
    MPI_Allgather(&number, 1, MPI_UINT64_T, numbers.data(), 1, MPI_UINT64_T, machine);
    MPI_Comm_free(&machine);
    return static_cast<int>(std::ranges::count(numbers, number));
  }

  void send(int rank, const std::string& message) override {
    MPI_Send(message.data(), static_cast<int>(message.size()), MPI_BYTE, rank, 0, MPI_COMM_WORLD);
  }

  std::optional<std::pair<int, std::string>> receive() override {
    int there = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &there, &status);
    if (there == 0) return {};
    int size = 0;
    MPI_Get_count(&status, MPI_BYTE, &size);
    std::string message(static_cast<std::size_t>(size), '\0');
    MPI_Recv(message.data(), size, MPI_BYTE, status.MPI_SOURCE, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return std::pair(status.MPI_SOURCE, std::move(message));
  }

  std::string from_first(std::string text) override {
    std::uint64_t size = text.size();
    MPI_Bcast(&size, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    text.resize(size);
    MPI_Bcast(text.data(), static_cast<int>(size), MPI_BYTE, 0, MPI_COMM_WORLD);
    return text;
  }

  void sum(std::span<std::uint64_t> words, std::size_t width) override {
    MPI_Datatype integer = MPI_DATATYPE_NULL;
    MPI_Type_contiguous(static_cast<int>(width), MPI_UINT64_T, &integer);
    MPI_Type_commit(&integer);
    MPI_Op add = MPI_OP_NULL;
    MPI_Op_create(
        [](void* from, void* to, int* count, MPI_Datatype* type) {
          int bytes = 0;
          MPI_Type_size(*type, &bytes);
          add_integers(static_cast<const std::uint64_t*>(from), static_cast<std::uint64_t*>(to),
                       static_cast<std::size_t>(*count),
                       static_cast<std::size_t>(bytes) / sizeof(std::uint64_t));
        },
        /*commute=*/1, &add);
    const int count = static_cast<int>(words.size() / width);
    if (rank_ == 0) {
      MPI_Reduce(MPI_IN_PLACE, words.data(), count, integer, add, 0, MPI_COMM_WORLD);
    } else {
      MPI_Reduce(words.data(), nullptr, count, integer, add, 0, MPI_COMM_WORLD);
    }
    MPI_Op_free(&add);
    MPI_Type_free(&integer);
  }

  void maximum(std::span<std::int64_t> values) override {
    MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_INT64_T, MPI_MAX,
                  MPI_COMM_WORLD);
  }

  [[noreturn]] void abort() override {
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();
  }

 private:
  int rank_ = 0, size_ = 1;
};

#endif

}  // namespace

std::unique_ptr<Team> join_team() {
#ifdef SALIENCE_WITH_MPI
  // Started without mpirun, MPI would start a daemon of its own for this one process.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"}) {
    if (std::getenv(name) != nullptr) return std::make_unique<Ranks>();
  }
#endif
  return std::make_unique<Alone>();
}
