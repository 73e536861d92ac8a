#ifndef ACCEL_WEIGHTS_H
#define ACCEL_WEIGHTS_H

#include "accel.h"

namespace accel_stages {

const ap_uint<32> matrix_weights[4][2] = {
    {0x5A5A5A5A, 0x01234567},
    {0x00FF00FF, 0x76543210},
    {0x0F0F0F0F, 0x13579BDF},
    {0x33333333, 0x02468ACE},
};

const ap_int<8> matrix_starts[4][1] = {{-31}, {-33}, {-30}, {-28}};

}  // namespace accel_stages

#endif
