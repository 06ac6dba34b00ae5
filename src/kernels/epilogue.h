/* What becomes of the sums of a matrix product before they are stored; backend/backend.h has the formulas. */
#ifndef QVEC_KERNELS_EPILOGUE_H
#define QVEC_KERNELS_EPILOGUE_H

typedef enum { QV__EPI_NONE, QV__EPI_GELU_TANH, QV__EPI_GELU_ERF, QV__EPI_SILU_MUL } qv__epilogue;
#endif
