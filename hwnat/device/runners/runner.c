/* hwnat-run: times one TFLite model, or two in alternation, on a phone or a board without Python.

   It loads libLiteRt.so (2.1.6 or later) or a library with the older TensorFlow Lite C API from its
   own folder or a given path, and declares the few functions that it calls. Both libraries run on
   the CPU with XNNPACK. Results go to stdout; everything that a library prints goes to stderr.

     cc -std=c99 -O2 -o hwnat-run runner.c -ldl

   HWNAT_SOURCE, if defined, is a hash of these files, which `--version` prints.              */

#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L
#include <sys/resource.h>
#include <time.h>

#include "runner_model.h"

#ifndef HWNAT_SOURCE
#define HWNAT_SOURCE "unknown"
#endif

enum { PATIENCE = 3 }; /* attempts per requested run to get enough that nothing disturbs */

static const char *const HELP =
    "hwnat-run 1\n"
    "  hwnat-run time --model FILE [--reference FILE] --threads N --runs N --warmup N"
    " --visit-ms X\n"
    "  hwnat-run answer --model FILE --threads N --in FILE --out FILE\n"
    "  hwnat-run --version\n"
    "each with [--library FILE]; else libLiteRt.so or libtensorflowlite_c.so beside this program\n";

/* ---- time ---- */

typedef struct { int64_t *ns; size_t count, room; } Series;

static void append(Series *series, int64_t ns) {
    if (series->count == series->room) {
        series->room = series->room ? 2 * series->room : 64;
        series->ns = realloc(series->ns, series->room * sizeof *series->ns);
        if (series->ns == NULL) fail("out of memory");
    }
    series->ns[series->count++] = ns;
}

static int64_t now_ns(void) {
    struct timespec time;
    if (clock_gettime(CLOCK_MONOTONIC, &time)) fail("this system has no steady clock");
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static long preemptions(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage)) fail("this system does not count lost cores");
    return usage.ru_nivcsw;
}

/* Works exactly like `alternate` in hwnat/targets/timing.py. */
static void alternate(FILE *out, Model *models, size_t n, long runs, long warmup, int64_t least) {
    Series calm[2], every[2];
    int64_t began = now_ns(), sum = 0;
    size_t thrown = 0, kept = 0;
    memset(calm, 0, sizeof calm);
    memset(every, 0, sizeof every);
    for (long warmed = 0; warmed < warmup || now_ns() - began < least / 2; warmed++)
        for (size_t k = 0; k < n; k++) run(&models[k], NULL);
    while ((long)every[0].count < PATIENCE * runs || now_ns() - began < least) {
        int enough = 1;
        for (size_t k = 0; k < n; k++) {
            long before = preemptions();
            int64_t start = now_ns();
            run(&models[k], NULL);
            int64_t took = now_ns() - start;
            append(&every[k], took);
            if (preemptions() == before) append(&calm[k], took);
        }
        for (size_t k = 0; k < n; k++) enough = enough && (long)calm[k].count >= runs;
        if (enough && now_ns() - began >= least) break;
    }
    for (size_t k = 0; k < n; k++) {
        const Series *good = calm[k].count ? &calm[k] : &every[k];
        fputs(k ? "reference_ns" : "model_ns", out);
        for (size_t i = 0; i < good->count; i++) {
            fprintf(out, " %lld", (long long)good->ns[i]);
            sum += good->ns[i];
        }
        fputc('\n', out);
        kept += good->count;
        thrown += every[k].count - good->count;
    }
    fprintf(out, "disturbed %zu\nend %zu %lld\n", thrown, kept, (long long)sum);
}

/* ---- answer ---- */

/* `given` has the raw inputs in the file's order, one after the other; `wanted` gets the outputs. */
static void answer(const char *path, int threads, const char *given, const char *wanted) {
    Model m = load(path, threads);
    size_t total = 0;
    for (size_t i = 0; i < m.inputs; i++) total += m.in[i].bytes;
    unsigned char *in = allocate(total + 1, 1), *at = in;
    FILE *file = fopen(given, "rb");
    if (file == NULL || fread(in, 1, total + 1, file) != total)
        fail("%s: the inputs of %s are %zu bytes, this file is not", given, path, total);
    fclose(file);
    for (size_t i = 0; i < m.inputs; at += m.in[i++].bytes) give(&m, &m.in[i], at);
    file = fopen(wanted, "wb");
    if (file == NULL) fail("%s: cannot be written", wanted);
    run(&m, file);
    if (fclose(file)) fail("%s: cannot be written", wanted);
}

/* ---- command line ---- */

static const char *option(int argc, char **argv, const char *name, int needed) {
    for (int i = 2; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    if (needed) fail("%s is missing; hwnat-run --help lists what it takes", name);
    return NULL;
}

static double number(int argc, char **argv, const char *name, double least, double most) {
    const char *word = option(argc, argv, name, 1);
    char *end = NULL;
    double value = strtod(word, &end);
    if (end == word || *end != '\0' || !(value >= least && value <= most))
        fail("%s is '%s'; it is a number from %g to %g", name, word, least, most);
    return value;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "--help";
    if (strcmp(mode, "--help") == 0) return fputs(HELP, stdout) < 0;
    int wants_version = strcmp(mode, "--version") == 0, times = strcmp(mode, "time") == 0;
    if (!wants_version && !times && strcmp(mode, "answer"))
        fail("'%s' is nothing it does; see --help", mode);
    if (argc % 2) fail("an option without its value, or the other way round; see --help");
    FILE *out = fdopen(dup(STDOUT_FILENO), "w");
    if (out == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) fail("no stdout");
    open_library(argv[0], option(argc, argv, "--library", 0));
    fprintf(out, "hwnat-run 1\nruntime %s %s\n", is_litert ? "litert" : "tflite", version);
    if (times) {
        const char *reference = option(argc, argv, "--reference", 0);
        int threads = (int)number(argc, argv, "--threads", 1, 1024);
        long runs = (long)number(argc, argv, "--runs", 1, 1e6);
        long warmup = (long)number(argc, argv, "--warmup", 0, 1e6);
        int64_t least = (int64_t)(1e6 * number(argc, argv, "--visit-ms", 0, 1e5));
        Model models[2];
        models[0] = load(option(argc, argv, "--model", 1), threads);
        if (reference != NULL) models[1] = load(reference, threads);
        for (int k = 0; k < (reference == NULL ? 1 : 2); k++) give_noise(&models[k]);
        alternate(out, models, reference == NULL ? 1 : 2, runs, warmup, least);
    } else {
        if (wants_version)
            fprintf(out, "source %s\n", HWNAT_SOURCE);
        else
            answer(option(argc, argv, "--model", 1), (int)number(argc, argv, "--threads", 1, 1024),
                   option(argc, argv, "--in", 1), option(argc, argv, "--out", 1));
        fputs("end 0 0\n", out);
    }
    return fclose(out) ? (perror("hwnat-run"), 1) : 0;
}
