/* Library and models of hwnat-run, for LiteRT's C API or TensorFlow Lite's older one. */

#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The same in both APIs. */
enum { FLOAT32 = 1, INT32, UINT8, INT64, BOOL = 6, INT16, INT8 = 9, FLOAT16, FLOAT64,
       UINT64 = 13, UINT32 = 16, UINT16 };
enum { CPU = 1, LOCK_READ = 0, LOCK_WRITE = 1 };

static void fail(const char *format, ...) {
    va_list words;
    va_start(words, format);
    fputs("hwnat-run: ", stderr);
    vfprintf(stderr, format, words);
    fputc('\n', stderr);
    va_end(words);
    exit(1);
}

/* ---- the library: name, result and arguments of every function called ---- */

typedef void *Handle;
/* Element type, then a shape that is only passed back; newer versions have a larger one. */
typedef struct { int type; int64_t shape[31]; } TensorType;
/* Number of threads, then more space than any version fills. */
typedef struct { int32_t threads; int64_t rest[63]; } XnnpackOptions;

#define LITERT(F) \
    F(LiteRtCreateEnvironment, int, (int, const void *, Handle *)) \
    F(LiteRtCreateModelFromFile, int, (Handle, const char *, Handle *)) \
    F(LiteRtGetModelSignature, int, (Handle, size_t, Handle *)) \
    F(LiteRtGetNumSignatureInputs, int, (Handle, size_t *)) \
    F(LiteRtGetNumSignatureOutputs, int, (Handle, size_t *)) \
    F(LiteRtGetSignatureInputTensorByIndex, int, (Handle, size_t, Handle *)) \
    F(LiteRtGetSignatureOutputTensorByIndex, int, (Handle, size_t, Handle *)) \
    F(LiteRtGetRankedTensorType, int, (Handle, TensorType *)) \
    F(LiteRtCreateOptions, int, (Handle *)) \
    F(LiteRtSetOptionsHardwareAccelerators, int, (Handle, int)) \
    F(LiteRtCreateOpaqueOptions, int, (const char *, void *, void (*)(void *), Handle *)) \
    F(LiteRtAddOpaqueOptions, int, (Handle, Handle)) \
    F(LiteRtCreateCompiledModel, int, (Handle, Handle, Handle, Handle *)) \
    F(LiteRtGetCompiledModelInputBufferRequirements, int, (Handle, size_t, size_t, Handle *)) \
    F(LiteRtGetCompiledModelOutputBufferRequirements, int, (Handle, size_t, size_t, Handle *)) \
    F(LiteRtCreateManagedTensorBufferFromRequirements, int, \
      (Handle, const TensorType *, Handle, Handle *)) \
    F(LiteRtGetTensorBufferPackedSize, int, (Handle, size_t *)) \
    F(LiteRtLockTensorBuffer, int, (Handle, void **, int)) \
    F(LiteRtUnlockTensorBuffer, int, (Handle)) \
    F(LiteRtRunCompiledModel, int, (Handle, size_t, size_t, Handle *, size_t, Handle *))

#define CLASSIC(F) \
    F(TfLiteVersion, const char *, (void)) \
    F(TfLiteModelCreateFromFile, Handle, (const char *)) \
    F(TfLiteInterpreterOptionsCreate, Handle, (void)) \
    F(TfLiteInterpreterOptionsSetNumThreads, void, (Handle, int32_t)) \
    F(TfLiteInterpreterOptionsAddDelegate, void, (Handle, Handle)) \
    F(TfLiteXNNPackDelegateOptionsDefault, XnnpackOptions, (void)) \
    F(TfLiteXNNPackDelegateCreate, Handle, (const XnnpackOptions *)) \
    F(TfLiteInterpreterCreate, Handle, (Handle, Handle)) \
    F(TfLiteInterpreterAllocateTensors, int, (Handle)) \
    F(TfLiteInterpreterGetInputTensorCount, int32_t, (Handle)) \
    F(TfLiteInterpreterGetOutputTensorCount, int32_t, (Handle)) \
    F(TfLiteInterpreterGetInputTensor, Handle, (Handle, int32_t)) \
    F(TfLiteInterpreterGetOutputTensor, Handle, (Handle, int32_t)) \
    F(TfLiteInterpreterInvoke, int, (Handle)) \
    F(TfLiteTensorType, int, (Handle)) \
    F(TfLiteTensorByteSize, size_t, (Handle)) \
    F(TfLiteTensorData, void *, (Handle))

#define DECLARE(name, result, arguments) static result(*name) arguments;
LITERT(DECLARE)
CLASSIC(DECLARE)

static Handle library, environment;
static int is_litert;
static char version[48];

static void find(const char *name, void *into) {
    void *found = dlsym(library, name);
    if (found == NULL) fail("the library has no %s; bring LiteRT 2.1.6 or later", name);
    memcpy(into, &found, sizeof found);
}

/* LiteRT does not report its version; the installer wrote it down with the library's size. */
static void read_version(const char *path) {
    char name[4096], word[40];
    long size = 0;
    strcpy(version, "unknown");
    snprintf(name, sizeof name, "%s.version", path);
    FILE *note = fopen(name, "r"), *file = fopen(path, "rb");
    if (note != NULL && file != NULL && fseek(file, 0, SEEK_END) == 0 &&
        fscanf(note, "%39[A-Za-z0-9.+_-] %ld", word, &size) == 2 && size == ftell(file))
        strcpy(version, word);
    if (note != NULL) fclose(note);
    if (file != NULL) fclose(file);
}

static void open_library(const char *program, const char *named) {
    static const char *const names[] = {"libLiteRt.so", "libtensorflowlite_c.so"};
    char path[4096] = "";
    const char *slash = strrchr(program, '/');
    int folder = slash == NULL ? 0 : (int)(slash - program) + 1;
    for (size_t i = 0; named == NULL && i < 2; i++) {
        snprintf(path, sizeof path, "%.*s%s", folder, program, names[i]);
        if (access(path, F_OK) == 0) break;
    }
    if (named != NULL) snprintf(path, sizeof path, "%s", named);
    if (access(path, R_OK)) fail("no library %s; name one with --library", named ? path : names[0]);
    /* dlopen searches the system's folders for a name without a folder. */
    if (strchr(path, '/') == NULL) fail("name program and library with their folders");
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) fail("cannot load the library: %s", dlerror());
    is_litert = dlsym(library, "LiteRtCreateCompiledModel") != NULL;
    if (is_litert && dlsym(library, "LiteRtCreateCpuOptions") != NULL)
        fail("this libLiteRt.so is older than 2.1.6; bring a later one");
#define FIND(name, result, arguments) find(#name, &name);
    if (is_litert) {
        LITERT(FIND)
        read_version(path);
        if (LiteRtCreateEnvironment(0, NULL, &environment)) fail("LiteRT does not start");
    } else {
        CLASSIC(FIND)
        snprintf(version, sizeof version, "%s", TfLiteVersion());
    }
}

/* ---- a loaded model ---- */

typedef struct { Handle handle; int type; size_t bytes; } Tensor; /* a buffer or a tensor */

typedef struct {
    const char *path;
    Handle runs;              /* compiled model or interpreter */
    size_t inputs, outputs;
    Tensor *in, *out;         /* in the file's order */
    Handle *given, *returned; /* buffers of LiteRT, in the signature's order */
} Model;

static void check(const Model *model, int bad, const char *what) {
    if (bad) fail("%s: %s (%d)", model->path, what, bad);
}

static void *allocate(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes ? bytes : 1);
    if (memory == NULL) fail("out of memory");
    return memory;
}

static Tensor litert_buffer(Model *m, Handle tensor, size_t index, int is_input) {
    TensorType type;
    Handle needs;
    Tensor made;
    memset(&type, 0, sizeof type);
    check(m, LiteRtGetRankedTensorType(tensor, &type), "a tensor has no fixed shape");
    check(m, is_input ? LiteRtGetCompiledModelInputBufferRequirements(m->runs, 0, index, &needs)
                      : LiteRtGetCompiledModelOutputBufferRequirements(m->runs, 0, index, &needs),
          "no buffer is known for a tensor; its size may depend on the values");
    check(m, LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs,
                                                             &made.handle),
          "no memory for a tensor");
    check(m, LiteRtGetTensorBufferPackedSize(made.handle, &made.bytes), "a tensor has no size");
    made.type = type.type;
    return made;
}

/* A signature may list tensors in another order than the file. Returns the place in the file. */
static size_t place(Model *m, Handle signature, Handle wanted, size_t count, int is_input) {
    int (*whole)(Handle, Handle *), (*one)(Handle, size_t, Handle *);
    Handle graph, tensor;
    if (count == 1) return 0;
    find("LiteRtGetSignatureSubgraph", &whole);
    find(is_input ? "LiteRtGetSubgraphInput" : "LiteRtGetSubgraphOutput", &one);
    check(m, whole(signature, &graph), "no graph");
    for (size_t i = 0; i < count; i++) {
        check(m, one(graph, i, &tensor), "no tensor");
        if (tensor == wanted) return i;
    }
    fail("%s: its signature has other tensors than its graph", m->path);
    return 0;
}

static void litert_tensors(Model *m, Handle signature, int is_input) {
    size_t count = is_input ? m->inputs : m->outputs;
    Tensor *tensors = allocate(count, sizeof *tensors);
    Handle *buffers = allocate(count, sizeof *buffers), tensor;
    for (size_t i = 0; i < count; i++) {
        check(m, is_input ? LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor)
                          : LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor),
              "no tensor");
        Tensor made = litert_buffer(m, tensor, i, is_input);
        buffers[i] = made.handle;
        tensors[place(m, signature, tensor, count, is_input)] = made;
    }
    *(is_input ? &m->in : &m->out) = tensors;
    *(is_input ? &m->given : &m->returned) = buffers;
}

static void litert_open(Model *m, int threads) {
    Handle model, signature, options, cpu;
    char *words = malloc(32);
    if (words == NULL) fail("out of memory");
    snprintf(words, 32, "num_threads = %d\n", threads);
    check(m, LiteRtCreateModelFromFile(environment, m->path, &model), "not a model LiteRT reads");
    check(m, LiteRtCreateOptions(&options), "no options");
    check(m, LiteRtSetOptionsHardwareAccelerators(options, CPU), "no CPU accelerator");
    check(m, LiteRtCreateOpaqueOptions("xnnpack", words, free, &cpu), "no CPU options");
    check(m, LiteRtAddOpaqueOptions(options, cpu), "CPU options are refused");
    check(m, LiteRtCreateCompiledModel(environment, model, options, &m->runs), "does not compile");
    check(m, LiteRtGetModelSignature(model, 0, &signature), "no signature");
    check(m, LiteRtGetNumSignatureInputs(signature, &m->inputs), "no inputs");
    check(m, LiteRtGetNumSignatureOutputs(signature, &m->outputs), "no outputs");
    litert_tensors(m, signature, 1);
    litert_tensors(m, signature, 0);
}

static void classic_open(Model *m, int threads) {
    Handle model = TfLiteModelCreateFromFile(m->path), options = TfLiteInterpreterOptionsCreate();
    check(m, model == NULL, "not a model TensorFlow Lite reads");
    XnnpackOptions xnnpack = TfLiteXNNPackDelegateOptionsDefault();
    xnnpack.threads = threads;
    TfLiteInterpreterOptionsSetNumThreads(options, threads);
    TfLiteInterpreterOptionsAddDelegate(options, TfLiteXNNPackDelegateCreate(&xnnpack));
    m->runs = TfLiteInterpreterCreate(model, options);
    check(m, m->runs == NULL, "no interpreter");
    check(m, TfLiteInterpreterAllocateTensors(m->runs), "no memory for its tensors");
    m->inputs = (size_t)TfLiteInterpreterGetInputTensorCount(m->runs);
    m->outputs = (size_t)TfLiteInterpreterGetOutputTensorCount(m->runs);
    m->in = allocate(m->inputs, sizeof *m->in);
    m->out = allocate(m->outputs, sizeof *m->out);
    for (size_t i = 0; i < m->inputs; i++) {
        m->in[i].handle = TfLiteInterpreterGetInputTensor(m->runs, (int32_t)i);
        m->in[i].type = TfLiteTensorType(m->in[i].handle);
        m->in[i].bytes = TfLiteTensorByteSize(m->in[i].handle);
    }
    for (size_t i = 0; i < m->outputs; i++)
        m->out[i].handle = TfLiteInterpreterGetOutputTensor(m->runs, (int32_t)i);
}

/* Runs once and waits for the outputs; writes them to `answer` unless that is NULL. */
static void run(Model *m, FILE *answer) {
    if (!is_litert) check(m, TfLiteInterpreterInvoke(m->runs), "a run failed");
    else check(m, LiteRtRunCompiledModel(m->runs, 0, m->inputs, m->given, m->outputs, m->returned),
               "a run failed");
    for (size_t i = 0; i < m->outputs; i++) {
        Tensor *out = &m->out[i];
        void *data = NULL;
        if (is_litert) check(m, LiteRtLockTensorBuffer(out->handle, &data, LOCK_READ), "no output");
        if (answer != NULL) {
            /* The older library knows the size of some outputs only after a run. */
            size_t bytes = is_litert ? out->bytes : TfLiteTensorByteSize(out->handle);
            if (!is_litert) data = TfLiteTensorData(out->handle);
            if (fwrite(data, 1, bytes, answer) != bytes) fail("the outputs cannot be written");
        }
        if (is_litert) check(m, LiteRtUnlockTensorBuffer(out->handle), "no output");
    }
}

static void give(Model *m, Tensor *in, const void *given) {
    void *data = NULL;
    if (is_litert) check(m, LiteRtLockTensorBuffer(in->handle, &data, LOCK_WRITE), "no input");
    memcpy(is_litert ? data : TfLiteTensorData(in->handle), given, in->bytes);
    if (is_litert) check(m, LiteRtUnlockTensorBuffer(in->handle), "no input");
}

static uint32_t draw(void) {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

/* A sum of 12 uniform numbers, which is about standard normal. */
static float draw_normal(void) {
    float sum = -6;
    for (int k = 0; k < 12; k++) sum += (float)(draw() >> 8) / 16777216.0f;
    return sum;
}

static uint16_t half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 23 & 255) - 112;
    uint32_t sign = bits >> 16 & 0x8000u;
    if (exponent < 1) return (uint16_t)sign;
    return (uint16_t)(sign | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ffu));
}

static size_t width(const Model *m, int type) {
    switch (type) {
        case BOOL: case INT8: case UINT8: return 1;
        case FLOAT16: case INT16: case UINT16: return 2;
        case FLOAT32: case INT32: case UINT32: return 4;
        case FLOAT64: case INT64: case UINT64: return 8;
    }
    fail("%s: takes type %d, which cannot be drawn at random", m->path, type);
    return 0;
}

/* Floats are normal, bytes span their whole range, and longer integers, which may be indices, are
   0 or 1. */
static void draw_value(int type, unsigned char *into, size_t bytes) {
    float normal = draw_normal();
    double wide = (double)normal;
    uint16_t narrow = half(normal);
    if (type == FLOAT32) memcpy(into, &normal, bytes);
    else if (type == FLOAT64) memcpy(into, &wide, bytes);
    else if (type == FLOAT16) memcpy(into, &narrow, bytes);
    else if (type == INT8 || type == UINT8) *into = (unsigned char)(draw() >> 24);
    else { /* the other bytes are 0 */
        const uint16_t one = 1;
        int little = *(const unsigned char *)&one;
        into[little ? 0 : bytes - 1] = (unsigned char)(draw() >> 31);
    }
}

static void give_noise(Model *m) {
    for (size_t i = 0; i < m->inputs; i++) {
        Tensor *in = &m->in[i];
        size_t step = width(m, in->type);
        unsigned char *bytes = allocate(in->bytes, 1);
        for (size_t at = 0; at + step <= in->bytes; at += step)
            draw_value(in->type, bytes + at, step);
        give(m, in, bytes);
        free(bytes);
    }
}

static Model load(const char *path, int threads) {
    Model m;
    memset(&m, 0, sizeof m);
    m.path = path;
    FILE *file = fopen(path, "rb");
    char head[8] = "";
    if (file == NULL) fail("%s: no such file", path);
    /* LiteRT trusts a file without these letters too, and crashes. */
    if (fread(head, 1, sizeof head, file) != sizeof head || memcmp(head + 4, "TFL3", 4) != 0)
        fail("%s: not a TFLite file", path);
    fclose(file);
    if (is_litert) litert_open(&m, threads);
    else classic_open(&m, threads);
    return m;
}
