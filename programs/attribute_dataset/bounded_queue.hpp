// A queue between two stages of a pipeline: who is ahead waits for who is behind.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <queue>
#include <utility>

/// Holds at most `capacity` items. For any number of threads on either side.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

  /// Waits while the queue is full. False if it was closed: the item is dropped.
  bool push(T item) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return closed_ || items_.size() < capacity_; });
    if (closed_) return false;
    items_.push(std::move(item));
    filled_.notify_one();
    return true;
  }

  /// Waits while the queue is empty. Nothing if it was closed and is empty.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (items_.empty()) return {};
    T item = std::move(items_.front());
    items_.pop();
    room_.notify_one();
    return item;
  }

  /// Nothing more comes. What is in the queue is still given out.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
    filled_.notify_all();
  }

 private:
  std::size_t capacity_;
  std::queue<T> items_;
  std::mutex mutex_;
  std::condition_variable room_, filled_;
  bool closed_ = false;
};
