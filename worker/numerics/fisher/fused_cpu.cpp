// Adds sum_n (sum_t a_n(r, t) g_n(t, c))^2 to out(r, c). fused_cpu.py says what is what.
//
// A tile of ROWS x COLUMNS of one sample's product is formed in registers and squared there. What is squared is summed
// over the samples in a strip of COLUMNS columns that stays in the cache, and goes to `out` once.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int64_t LANES = 16, ROWS = 8;  // 16 of 32 registers hold the tile
#elif defined(__AVX__)
constexpr int64_t LANES = 8, ROWS = 6;  // 12 of 16
#else
constexpr int64_t LANES = 4, ROWS = 6;
#endif
constexpr int64_t VECTORS = 2, COLUMNS = VECTORS * LANES;
constexpr int64_t STRIP = 2048;  // rows of a strip: at most 256 KiB
constexpr int64_t SQUARE = 16;   // what is transposed goes square by square, by whole cache lines

typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(alignof(float)), may_alias));

struct alignas(64) Line {
    float entries[16];
};

struct Memory {
    explicit Memory(int64_t floats) : lines(floats / 16 + 1, Line{}) {}
    float* begin() { return lines.front().entries; }
    std::vector<Line> lines;
};

// A dense matrix with strides, in floats.
struct Matrix {
    const float* data;
    int64_t row, column;
    const float* at(int64_t r, int64_t c) const { return data + r * row + c * column; }
};

// Transposes or copies `columns` columns, the first of them `first`, to a panel of COLUMNS columns.
static void pack(const Matrix& g, int64_t rows, int64_t first, int64_t columns, float* panel) {
    if (g.column == 1 && columns == COLUMNS) {  // a size that the compiler knows: no call
        for (int64_t t = 0; t < rows; ++t) std::memcpy(panel + t * COLUMNS, g.at(t, first), COLUMNS * sizeof(float));
        return;
    }
    for (int64_t start = 0; start < rows; start += SQUARE)
        for (int64_t c = 0; c < columns; ++c)
            for (int64_t t = start; t < std::min(start + SQUARE, rows); ++t)
                panel[t * COLUMNS + c] = *g.at(t, first + c);
}

// One tile of one sample: sums += (sum_t rows[r][at[t]] panel(t, c))^2.
static inline void add_tile(
    const float* const* rows, const int64_t* at, int64_t positions, const float* panel, float* sums) {
    Lanes product[ROWS][VECTORS] = {};
    for (int64_t t = 0; t < positions; ++t, panel += COLUMNS) {
        Lanes g[VECTORS];
        for (int64_t v = 0; v < VECTORS; ++v) g[v] = *reinterpret_cast<const Lanes*>(panel + v * LANES);
        for (int64_t r = 0; r < ROWS; ++r)
            for (int64_t v = 0; v < VECTORS; ++v) product[r][v] += rows[r][at[t]] * g[v];
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < ROWS; ++r)
#pragma GCC unroll 2
        for (int64_t v = 0; v < VECTORS; ++v)
            *reinterpret_cast<Lanes*>(sums + r * COLUMNS + v * LANES) += product[r][v] * product[r][v];
}

// Adds a strip to its place in `out`.
static void add_strip(const float* sums, int64_t rows, int64_t columns, float* out, int64_t row, int64_t column) {
    for (int64_t start = 0; start < rows; start += SQUARE) {
        const int64_t end = std::min(start + SQUARE, rows);
        if (column == 1) {
            for (int64_t r = start; r < end; ++r)
                for (int64_t c = 0; c < columns; ++c) out[r * row + c] += sums[r * COLUMNS + c];
        } else {
            for (int64_t c = 0; c < columns; ++c)
                for (int64_t r = start; r < end; ++r) out[r * row + c * column] += sums[r * COLUMNS + c];
        }
    }
}

extern "C" void add_squares(
    const float* a, int64_t a_sample, const int64_t* row_at, const int64_t* position_at,
    const float* g, int64_t g_sample, int64_t g_position, int64_t g_column,
    float* out, int64_t out_row, int64_t out_column,
    int64_t samples, int64_t positions, int64_t rows, int64_t columns, int64_t threads) {
    const int64_t strips = (rows + STRIP - 1) / STRIP, panels = (columns + COLUMNS - 1) / COLUMNS;
    // Every strip belongs to one thread: the same call gives the same bits, however many there are.
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
    for (int64_t p = 0; p < panels; ++p)
        for (int64_t s = 0; s < strips; ++s) {
            const int64_t first_row = s * STRIP, first_column = p * COLUMNS;
            const int64_t height = std::min(STRIP, rows - first_row);
            const int64_t width = std::min(COLUMNS, columns - first_column);
            Memory panel(positions * COLUMNS), sums((height + ROWS) * COLUMNS);
            for (int64_t n = 0; n < samples; ++n) {
                pack({g + n * g_sample, g_position, g_column}, positions, first_column, width, panel.begin());
                for (int64_t r = 0; r < height; r += ROWS) {
                    const float* its[ROWS];  // the last tile repeats its last row: what comes of it is not read
                    for (int64_t i = 0; i < ROWS; ++i)
                        its[i] = a + n * a_sample + row_at[first_row + std::min(r + i, height - 1)];
                    add_tile(its, position_at, positions, panel.begin(), sums.begin() + r * COLUMNS);
                }
            }
            float* place = out + first_row * out_row + first_column * out_column;
            add_strip(sums.begin(), height, width, place, out_row, out_column);
        }
}
