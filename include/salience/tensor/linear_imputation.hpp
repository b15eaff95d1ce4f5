// linear_imputation: the missing pixels of a picture, from those around them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>
#include <Eigen/SparseCholesky>

namespace salience::detail {

/// Fills the pixels of a picture (C, H, W), float64, where `missing` (H, W), bool, holds; both are contiguous
/// and on the CPU. Each is the weighted mean of those of its eight neighbours that there are, 1/6 for the
/// direct and 1/12 for the diagonal ones, so that all missing ones together solve one linear system. It has
/// one solution if at least one pixel is known.
inline at::Tensor linear_imputation(const at::Tensor& picture, const at::Tensor& missing) {
  const auto channels = picture.size(0), height = picture.size(1), width = picture.size(2);
  const bool* gap = missing.data_ptr<bool>();
  // The number of each missing pixel among them, -1 for the known ones.
  std::vector<int> unknown(static_cast<std::size_t>(height * width), -1);
  int count = 0;
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    if (gap[i]) unknown[i] = count++;
  }
  at::Tensor filled = picture.clone();
  if (count == 0) return filled;
  double* values = filled.data_ptr<double>();
  std::vector<Eigen::Triplet<double>> entries;  // of the matrix's lower half
  Eigen::MatrixXd known = Eigen::MatrixXd::Zero(count, channels);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const int row = unknown[static_cast<std::size_t>(y * width + x)];
      if (row < 0) continue;
      double weights = 0.0;
      for (std::int64_t v = std::max<std::int64_t>(y - 1, 0); v <= std::min(y + 1, height - 1); ++v) {
        for (std::int64_t u = std::max<std::int64_t>(x - 1, 0); u <= std::min(x + 1, width - 1); ++u) {
          if (v == y && u == x) continue;
          const double weight = v == y || u == x ? 1.0 / 6 : 1.0 / 12;
          weights += weight;
          const std::int64_t neighbour = v * width + u;
          const int column = unknown[static_cast<std::size_t>(neighbour)];
          if (column >= 0 && column < row) entries.emplace_back(row, column, -weight);
          if (column >= 0) continue;
          for (std::int64_t c = 0; c < channels; ++c) {
            known(row, c) += weight * values[c * height * width + neighbour];
          }
        }
      }
      entries.emplace_back(row, row, weights);
    }
  }
  Eigen::SparseMatrix<double> matrix(count, count);
  matrix.setFromTriplets(entries.begin(), entries.end());
  const Eigen::MatrixXd solution = Eigen::SimplicialLDLT<Eigen::SparseMatrix<double>>(matrix).solve(known);
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    for (std::int64_t c = 0; unknown[i] >= 0 && c < channels; ++c) {
      values[c * height * width + static_cast<std::int64_t>(i)] = solution(unknown[i], c);
    }
  }
  return filled;
}

}  // namespace salience::detail
