/* A stand-in for NVIDIA's library: two GPUs, of which the second tells as little as an old one may. What the first tells is in
 * the file STATE, one `word number` a line, read anew at each call. */

#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, INSUFFICIENT_SIZE = 7, TIMEOUT = 10, LOST = 15 };

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char id_text[32]; } Pci;
typedef struct { unsigned pid; unsigned long long memory; unsigned instance, compute; } Process;
typedef struct { void *device; unsigned long long type, data; unsigned instance, compute; } Event;
typedef struct { unsigned gpu, memory; } Utilization;

static unsigned long long state(const char *word, unsigned long long otherwise) {
    char line[64];
    unsigned long long number = otherwise, read;
    FILE *file = fopen(STATE, "r");
    while (file && fscanf(file, "%63s %llu", line, &read) == 2)
        if (!strcmp(line, word)) number = read;
    if (file) fclose(file);
    return number;
}

static int second(void *device) { return device == (void *)2; }
static int tells(void *device) { return second(device) ? NOT_SUPPORTED : state("lost", 0) ? LOST : SUCCESS; }

int nvmlInit_v2(void) { return state("broken", 0) ? DRIVER_NOT_LOADED : SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { snprintf(text, length, "550.54.14"); return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)state("count", 2); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index > 1) return LOST;
    *device = (void *)(unsigned long)(index + 1);
    return SUCCESS;
}
int nvmlDeviceGetPciInfo_v3(void *device, Pci *pci) {
    memset(pci, 0, sizeof *pci);
    snprintf(pci->id_text, sizeof pci->id_text, "00000000:%02X:00.0", second(device) ? 0xB3 : 0x17);
    return SUCCESS;
}
int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    snprintf(text, length, second(device) ? "NVIDIA T4" : "NVIDIA GeForce RTX 3090");
    return SUCCESS;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    int told = tells(device);
    if (told == SUCCESS) snprintf(text, length, "GPU-of-the-stand-in");
    return told;
}
int nvmlDeviceGetMemoryInfo_v2(void *device, Memory *memory) {
    int told = tells(device);
    if (told == SUCCESS) { memory->total = 24ULL << 30; memory->used = 3ULL << 30; memory->free = 21ULL << 30; }
    return told;
}
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) { *major = 8; *minor = 6; return tells(device); }
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees) {
    *degrees = (unsigned)state("temperature", 61);
    return sensor ? NOT_SUPPORTED : tells(device);
}
int nvmlDeviceGetTemperatureThreshold(void *device, int kind, unsigned *degrees) {
    *degrees = 95;
    return kind == 1 ? tells(device) : NOT_SUPPORTED;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) { *milliwatts = 212500; return tells(device); }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) { *milliwatts = 350000; return tells(device); }
int nvmlDeviceGetUtilizationRates(void *device, Utilization *rates) { rates->gpu = 87; rates->memory = 40; return tells(device); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    *reasons = state("reasons", 4);
    return tells(device);
}
int nvmlDeviceGetEccMode(void *device, int *current, int *pending) { *current = *pending = 1; return tells(device); }
int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *count) {
    *count = kind == 0 ? 12 : state("uncorrected", 0);
    return counter == 0 ? tells(device) : NOT_SUPPORTED;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, Process *processes) {
    int told = tells(device);
    if (told != SUCCESS) return told;
    if (!processes || *count < 2) { *count = 2; return INSUFFICIENT_SIZE; }
    processes[0] = (Process){ 101, ~0ULL, ~0U, ~0U };
    processes[1] = (Process){ 102, 2ULL << 30, ~0U, ~0U };
    *count = 2;
    return SUCCESS;
}

static unsigned long long delivered;

int nvmlEventSetCreate(void **set) { *set = (void *)1; return SUCCESS; }
int nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }
int nvmlDeviceRegisterEvents(void *device, unsigned long long kinds, void *set) {
    (void)set;
    return kinds == 8 ? tells(device) : NOT_SUPPORTED;
}
int nvmlEventSetWait_v2(void *set, Event *event, unsigned wait) {
    unsigned long long xid = state("xid", 0);
    (void)set, (void)wait;
    if (xid == delivered) return TIMEOUT;
    delivered = xid;
    *event = (Event){ (void *)1, 8, xid, ~0U, ~0U };
    return SUCCESS;
}
