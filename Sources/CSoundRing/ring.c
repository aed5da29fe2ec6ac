#define _POSIX_C_SOURCE 200809L
#include "sound_ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sound_ring {
  uint32_t mask;
  _Alignas(64) _Atomic uint64_t written;
  _Alignas(64) _Atomic uint64_t taken;
  // Written by the callback only; odd `version` while it does, so that a reader sees all of it or looks again.
  _Alignas(64) _Atomic uint32_t version;
  _Atomic uint64_t frames, missed, gaps, faults;
  _Atomic int64_t time;
  _Atomic uint32_t largest;
  bool is_missing;                 // the callback's own
  float samples[];
};

sound_ring *sound_ring_create(uint32_t frames) {
  uint32_t size = 64;
  while (size < frames && size < 1u << 30) size *= 2;
  sound_ring *ring = NULL;
  size_t bytes = (sizeof *ring + size * sizeof(float) + 63) / 64 * 64;
  ring = aligned_alloc(64, bytes);
  if (!ring) return NULL;
  memset(ring, 0, bytes);
  ring->mask = size - 1;
  return ring;
}

void sound_ring_destroy(sound_ring *ring) { free(ring); }

void sound_ring_reset(sound_ring *ring) {
  uint32_t mask = ring->mask;
  memset(ring, 0, sizeof *ring);
  ring->mask = mask;
}

uint32_t sound_ring_waiting(const sound_ring *ring) {
  // In this order, so that what is taken meanwhile makes it less and never negative.
  uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
  return (uint32_t)(atomic_load_explicit(&ring->written, memory_order_acquire) - taken);
}

uint32_t sound_ring_write(sound_ring *ring, const float *samples, uint32_t count) {
  uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
  uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
  uint32_t room = ring->mask + 1 - (uint32_t)(written - taken);
  if (count > room) count = room;
  for (uint32_t i = 0; i < count; i++) ring->samples[(written + i) & ring->mask] = samples[i];
  atomic_store_explicit(&ring->written, written + count, memory_order_release);
  return count;
}

uint32_t sound_ring_read(sound_ring *ring, float *samples, uint32_t count) {
  uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
  uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
  if (count > written - taken) count = (uint32_t)(written - taken);
  for (uint32_t i = 0; i < count; i++) samples[i] = ring->samples[(taken + i) & ring->mask];
  atomic_store_explicit(&ring->taken, taken + count, memory_order_release);
  return count;
}

static void count_block(sound_ring *ring, uint32_t frames, uint32_t missed, bool fault) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  bool begins = missed > 0 && !ring->is_missing;
  ring->is_missing = missed > 0;
  uint32_t version = atomic_load_explicit(&ring->version, memory_order_relaxed);
  atomic_store_explicit(&ring->version, version + 1, memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
  // Nobody else writes them: no exchange is needed.
#define ADD(field, number)      \
  atomic_store_explicit(        \
    &ring->field, atomic_load_explicit(&ring->field, memory_order_relaxed) + (number), memory_order_relaxed)
  ADD(frames, frames);
  ADD(missed, missed);
  ADD(gaps, begins ? 1 : 0);
  ADD(faults, fault ? 1 : 0);
#undef ADD
  if (frames > atomic_load_explicit(&ring->largest, memory_order_relaxed))
    atomic_store_explicit(&ring->largest, frames, memory_order_relaxed);
  atomic_store_explicit(&ring->time, now.tv_sec * INT64_C(1000000000) + now.tv_nsec, memory_order_relaxed);
  atomic_store_explicit(&ring->version, version + 2, memory_order_release);
}

sound_progress sound_ring_progress(const sound_ring *ring) {
  sound_progress progress;
  uint32_t before, after;
  do {
    before = atomic_load_explicit(&ring->version, memory_order_acquire);
    progress.frames = atomic_load_explicit(&ring->frames, memory_order_relaxed);
    progress.missed = atomic_load_explicit(&ring->missed, memory_order_relaxed);
    progress.gaps = atomic_load_explicit(&ring->gaps, memory_order_relaxed);
    progress.faults = atomic_load_explicit(&ring->faults, memory_order_relaxed);
    progress.time = atomic_load_explicit(&ring->time, memory_order_relaxed);
    progress.largest = atomic_load_explicit(&ring->largest, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    after = atomic_load_explicit(&ring->version, memory_order_relaxed);
  } while (before != after || before % 2 != 0);
  return progress;
}

void sound_ring_play(sound_ring *ring, float *block, uint32_t frames, uint32_t channels, bool fault) {
  uint32_t got = sound_ring_read(ring, block, frames);
  memset(block + got, 0, (frames - got) * sizeof *block);
  // From the end, since each frame moves behind where it was.
  if (channels > 1)
    for (uint32_t frame = frames; frame-- > 0;)
      for (uint32_t channel = channels; channel-- > 0;) block[frame * channels + channel] = block[frame];
  count_block(ring, frames, frames - got, fault);
}

void sound_ring_record(sound_ring *ring, const float *block, uint32_t frames, uint32_t channels, bool fault) {
  uint32_t stored = 0;
  if (channels == 1) {
    stored = sound_ring_write(ring, block, frames);
  } else {
    while (stored < frames) {
      float mixed = 0;
      for (uint32_t channel = 0; channel < channels; channel++) mixed += block[stored * channels + channel];
      mixed /= (float)channels;
      if (sound_ring_write(ring, &mixed, 1) == 0) break;
      stored++;
    }
  }
  count_block(ring, frames, frames - stored, fault);
}
