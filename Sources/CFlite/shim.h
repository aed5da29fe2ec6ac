#include <flite/flite.h>
#include <flite/flite_version.h>

// Debian ships the voices as libraries without headers; these are their documented entry points.
cst_voice *register_cmu_us_slt(const char *voxdir);
cst_voice *register_cmu_us_rms(const char *voxdir);
cst_voice *register_cmu_us_kal16(const char *voxdir);
