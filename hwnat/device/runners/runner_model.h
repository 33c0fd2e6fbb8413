/* Library and models of hwnat-run, for LiteRT's C API or TensorFlow Lite's older one. */

#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLOAT32 = 1, UINT8 = 3, INT8 = 9 }; /* the same in both APIs */
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

/* ---- a loaded model: one input, one output ---- */

typedef struct {
    const char *path;
    Handle runs, in, out; /* compiled model or interpreter, its buffers or tensors */
    int type;
    size_t in_bytes, out_bytes;
} Model;

static void check(const Model *model, int bad, const char *what) {
    if (bad) fail("%s: %s (%d)", model->path, what, bad);
}

static Handle litert_buffer(Model *m, Handle signature, int is_input, size_t *bytes) {
    TensorType type;
    Handle tensor, needs, buffer;
    memset(&type, 0, sizeof type);
    check(m, is_input ? LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor)
                      : LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "no tensor");
    check(m, LiteRtGetRankedTensorType(tensor, &type), "a tensor has no fixed shape");
    check(m, is_input ? LiteRtGetCompiledModelInputBufferRequirements(m->runs, 0, 0, &needs)
                      : LiteRtGetCompiledModelOutputBufferRequirements(m->runs, 0, 0, &needs),
          "no buffer is known for a tensor");
    check(m, LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &buffer),
          "no memory for a tensor");
    check(m, LiteRtGetTensorBufferPackedSize(buffer, bytes), "a tensor has no size");
    if (is_input) m->type = type.type;
    return buffer;
}

static void litert_open(Model *m, int threads) {
    Handle model, signature, options, cpu;
    size_t inputs = 0, outputs = 0;
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
    check(m, LiteRtGetNumSignatureInputs(signature, &inputs), "no inputs");
    check(m, LiteRtGetNumSignatureOutputs(signature, &outputs), "no outputs");
    if (inputs != 1 || outputs != 1) fail("%s: has not one input and one output", m->path);
    m->in = litert_buffer(m, signature, 1, &m->in_bytes);
    m->out = litert_buffer(m, signature, 0, &m->out_bytes);
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
    if (TfLiteInterpreterGetInputTensorCount(m->runs) != 1 ||
        TfLiteInterpreterGetOutputTensorCount(m->runs) != 1)
        fail("%s: has not one input and one output", m->path);
    m->in = TfLiteInterpreterGetInputTensor(m->runs, 0);
    m->out = TfLiteInterpreterGetOutputTensor(m->runs, 0);
    m->type = TfLiteTensorType(m->in);
    m->in_bytes = TfLiteTensorByteSize(m->in);
    m->out_bytes = TfLiteTensorByteSize(m->out);
}

/* Runs once and waits for the output; copies it to `answer` unless that is NULL. */
static void run(Model *m, void *answer) {
    void *data = NULL;
    if (!is_litert) {
        check(m, TfLiteInterpreterInvoke(m->runs), "a run failed");
        if (answer != NULL) memcpy(answer, TfLiteTensorData(m->out), m->out_bytes);
        return;
    }
    check(m, LiteRtRunCompiledModel(m->runs, 0, 1, &m->in, 1, &m->out), "a run failed");
    check(m, LiteRtLockTensorBuffer(m->out, &data, LOCK_READ), "no output");
    if (answer != NULL) memcpy(answer, data, m->out_bytes);
    check(m, LiteRtUnlockTensorBuffer(m->out), "no output");
}

static void give(Model *m, const void *given) {
    void *data = NULL;
    if (is_litert) check(m, LiteRtLockTensorBuffer(m->in, &data, LOCK_WRITE), "no input");
    memcpy(is_litert ? data : TfLiteTensorData(m->in), given, m->in_bytes);
    if (is_litert) check(m, LiteRtUnlockTensorBuffer(m->in), "no input");
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (memory == NULL) fail("out of memory");
    return memory;
}

static uint32_t draw(void) {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

/* Integers span their whole range; floats, sums of 12 uniform ones, are about standard normal. */
static void give_noise(Model *m) {
    unsigned char *bytes = allocate(m->in_bytes);
    if (m->type == INT8 || m->type == UINT8) {
        for (size_t i = 0; i < m->in_bytes; i++) bytes[i] = (unsigned char)(draw() >> 24);
    } else if (m->type == FLOAT32) {
        for (size_t i = 0; i + sizeof(float) <= m->in_bytes; i += sizeof(float)) {
            float sum = -6;
            for (int k = 0; k < 12; k++) sum += (float)(draw() >> 8) / 16777216.0f;
            memcpy(bytes + i, &sum, sizeof sum);
        }
    } else {
        fail("%s: takes type %d, not float32, int8 or uint8", m->path, m->type);
    }
    give(m, bytes);
    free(bytes);
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
