#define _GNU_SOURCE
#include "sound_ring.h"

#ifdef LIVE_AUDIO

#include <dlfcn.h>
#include <portaudio.h>
#include <stddef.h>

static int play(
  const void *input, void *output, unsigned long frames, const PaStreamCallbackTimeInfo *times,
  PaStreamCallbackFlags flags, void *ring) {
  (void)input, (void)times;
  sound_ring_play(ring, output, (uint32_t)frames, 1, (flags & paOutputUnderflow) != 0);
  return paContinue;
}

static int play_both(
  const void *input, void *output, unsigned long frames, const PaStreamCallbackTimeInfo *times,
  PaStreamCallbackFlags flags, void *ring) {
  (void)input, (void)times;
  sound_ring_play(ring, output, (uint32_t)frames, 2, (flags & paOutputUnderflow) != 0);
  return paContinue;
}

static int record(
  const void *input, void *output, unsigned long frames, const PaStreamCallbackTimeInfo *times,
  PaStreamCallbackFlags flags, void *ring) {
  (void)output, (void)times;
  sound_ring_record(ring, input, (uint32_t)frames, 1, (flags & paInputOverflow) != 0);
  return paContinue;
}

static int record_both(
  const void *input, void *output, unsigned long frames, const PaStreamCallbackTimeInfo *times,
  PaStreamCallbackFlags flags, void *ring) {
  (void)output, (void)times;
  sound_ring_record(ring, input, (uint32_t)frames, 2, (flags & paInputOverflow) != 0);
  return paContinue;
}

int sound_ring_open(
  sound_ring *ring, int device, bool records, uint32_t channels, double rate, double latency, void **stream) {
  PaStreamParameters parameters = {
    .device = device, .channelCount = (int)channels, .sampleFormat = paFloat32, .suggestedLatency = latency};
  PaStreamCallback *callback = records ? (channels == 1 ? record : record_both) : channels == 1 ? play : play_both;
  if (channels < 1 || channels > 2) return paInvalidChannelCount;
  return Pa_OpenStream(
    stream, records ? &parameters : NULL, records ? NULL : &parameters, rate, paFramesPerBufferUnspecified, paNoFlag,
    callback, ring);
}

static void ignore_alsa(const char *file, int line, const char *function, int error, const char *format, ...) {
  (void)file, (void)line, (void)function, (void)error, (void)format;
}

static void ignore_jack(const char *text) { (void)text; }

void sound_quiet_libraries(void) {
  // PortAudio brings them, or does not: neither is linked here.
  typedef void alsa_handler(const char *, int, const char *, int, const char *, ...);
  typedef void jack_handler(const char *);
  int (*set_alsa)(alsa_handler *) = (int (*)(alsa_handler *))dlsym(RTLD_DEFAULT, "snd_lib_error_set_handler");
  if (set_alsa) set_alsa(ignore_alsa);
  const char *const jack[] = {"jack_set_error_function", "jack_set_info_function"};
  for (int i = 0; i < 2; i++) {
    void (*set_jack)(jack_handler *) = (void (*)(jack_handler *))dlsym(RTLD_DEFAULT, jack[i]);
    if (set_jack) set_jack(ignore_jack);
  }
}

#endif
