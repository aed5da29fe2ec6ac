#include <png.h>
#include <setjmp.h>
#include <string.h>

// libpng reports errors by jumping out of whoever called it, which Swift must not be. These three calls catch the jump.
// (Its simplified interface needs none of this, but misreads interlaced pictures of 16 bits a channel.)

/// A picture in memory that is being read.
typedef struct {
  png_structp png;
  png_infop info;
  const unsigned char *bytes;
  size_t left;
  /// Why a call has failed.
  char message[128];
} cpng_reader;

static inline void cpng_fail(png_structp png, png_const_charp message) {
  cpng_reader *reader = png_get_error_ptr(png);
  strncpy(reader->message, message, sizeof reader->message - 1);
  png_longjmp(png, 1);
}

static inline void cpng_ignore(png_structp png, png_const_charp message) { (void)png, (void)message; }

static inline void cpng_take(png_structp png, png_bytep out, size_t count) {
  cpng_reader *reader = png_get_io_ptr(png);
  if (count > reader->left) png_error(png, "Not enough image data");
  memcpy(out, reader->bytes, count);
  reader->bytes += count;
  reader->left -= count;
}

/// Reads the header of the picture that `bytes` and `left` stand for. Nonzero, and the size, if it can be read;
/// cpng_end is called in any case. `channels` is 4 for files with an alpha channel, else 3, of 8 bits each: of 16 bits
/// the upper 8 are taken.
static inline int cpng_begin(cpng_reader *reader, int *width, int *height, int *channels) {
  reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, cpng_fail, cpng_ignore);
  if (!reader->png) return 0;
  if (setjmp(png_jmpbuf(reader->png))) return 0;
  reader->info = png_create_info_struct(reader->png);
  if (!reader->info) return 0;
  png_set_read_fn(reader->png, reader, cpng_take);
  png_read_info(reader->png, reader->info);
  png_set_strip_16(reader->png);
  png_set_expand(reader->png);
  png_set_gray_to_rgb(reader->png);
  png_set_interlace_handling(reader->png);
  png_read_update_info(reader->png, reader->info);
  *width = (int)png_get_image_width(reader->png, reader->info);
  *height = (int)png_get_image_height(reader->png, reader->info);
  *channels = png_get_channels(reader->png, reader->info);
  return png_get_bit_depth(reader->png, reader->info) == 8 &&
      png_get_rowbytes(reader->png, reader->info) == (size_t)*width * *channels;
}

/// Reads the pixels, row by row, into room for all of them. Nonzero if they are whole.
static inline int cpng_read(cpng_reader *reader, unsigned char *out) {
  if (setjmp(png_jmpbuf(reader->png))) return 0;
  const size_t stride = png_get_rowbytes(reader->png, reader->info);
  const unsigned height = png_get_image_height(reader->png, reader->info);
  const int passes = png_get_interlace_type(reader->png, reader->info) == PNG_INTERLACE_NONE ? 1 : 7;
  for (int pass = 0; pass < passes; pass++)
    for (unsigned row = 0; row < height; row++) png_read_row(reader->png, out + row * stride, NULL);
  png_read_end(reader->png, NULL);
  return 1;
}

static inline void cpng_end(cpng_reader *reader) { png_destroy_read_struct(&reader->png, &reader->info, NULL); }
