// Sound between a device's callback and a thread that may be late: a ring of mono samples for one writer and one reader,
// without locks. Whichever end the device's callback is at allocates nothing, waits for nothing and calls nothing that
// might.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct sound_ring sound_ring;

// How far the device has come, as of its last callback.
typedef struct {
  uint64_t frames;   // that it has played or recorded, those below included
  uint64_t missed;   // that it played as silence because the ring was empty, or lost because it was full
  uint64_t gaps;     // how often that happened, each stretch once
  uint64_t faults;   // how often the device itself said that it had run dry or over
  int64_t time;      // of the callback, nanoseconds on the monotonic clock; 0 before the first
  uint32_t largest;  // frames that it asked for at once, at most
} sound_progress;

// A ring for at least `frames` samples; NULL if there is no memory for it.
sound_ring *sound_ring_create(uint32_t frames);
void sound_ring_destroy(sound_ring *ring);

// The thread's side; both say how many samples were moved.
uint32_t sound_ring_write(sound_ring *ring, const float *samples, uint32_t count);
uint32_t sound_ring_read(sound_ring *ring, float *samples, uint32_t count);

// Samples that wait in the ring.
uint32_t sound_ring_waiting(const sound_ring *ring);
sound_progress sound_ring_progress(const sound_ring *ring);

// Forgets the samples and all counts; the device must be at rest.
void sound_ring_reset(sound_ring *ring);

// The device's side: a block of `frames` frames of `channels` interleaved channels to play, each channel the same, or
// recorded, mixed down to their average.
void sound_ring_play(sound_ring *ring, float *block, uint32_t frames, uint32_t channels, bool fault);
void sound_ring_record(sound_ring *ring, const float *block, uint32_t frames, uint32_t channels, bool fault);

// Opens a stream of 32-bit float samples between a PortAudio device and the ring; only where PortAudio is built in.
//
// `latency` is what PortAudio should aim at, in seconds. Returns PortAudio's error code, 0 if there is none.
int sound_ring_open(
  sound_ring *ring, int device, bool records, uint32_t channels, double rate, double latency, void **stream);

// Keeps ALSA and JACK from writing to standard error about every device that they do not find.
void sound_quiet_libraries(void);
