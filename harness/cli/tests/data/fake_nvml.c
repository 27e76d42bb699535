/* A management library for a machine without GPUs: one card that is busy and slowed down by its power cap. With
 * FAKE_NVML=hang it stops answering once an attempt is under way, as sick drivers do; with `leak` memory is taken then and
 * does not come back; with `late` it comes back after some more questions. FAKE_NVML_PROCESSES lists processes that compute on
 * the card, as PID:MIB,PID:MIB; for a library that is asked without an environment, PROCESSES does when it is built. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void *device_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } utilisation_t;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
} pci_t;

typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_t;

static int asked;

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "580.65.06", size); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) { *device = (device_t)(size_t)(index + 1); return index; }
int nvmlDeviceGetUUID(device_t device, char *text, unsigned size) { strncpy(text, "GPU-12345678-0000-0000-0000-000000000000", size); return 0; }
int nvmlDeviceGetName(device_t device, char *text, unsigned size) { strncpy(text, "Card of paper", size); return 0; }
int nvmlDeviceGetPciInfo_v3(device_t device, pci_t *pci) { memset(pci, 0, sizeof *pci); strcpy(pci->bus_id, "00000000:3B:00.0"); return 0; }
int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_t *memory) {
    const char *mode = getenv("FAKE_NVML");
    if (mode && strcmp(mode, "hang") == 0 && asked > 1)
        for (;;) pause();
    memory->total = 80ull << 30;
    memory->reserved = 0;
    memory->used = (unsigned long long)(++asked) << 20;
    if (mode && asked > 2 && (strcmp(mode, "leak") == 0 || (strcmp(mode, "late") == 0 && asked < 25)))
        memory->used += 5ull << 30;
    memory->free = memory->total - memory->used;
    return 0;
}
int nvmlDeviceGetUtilizationRates(device_t device, utilisation_t *rates) { rates->gpu = 75; rates->memory = 10; return 0; }
int nvmlDeviceGetPowerUsage(device_t device, unsigned *milliwatts) { *milliwatts = 350000; return 0; }
int nvmlDeviceGetClockInfo(device_t device, int clock, unsigned *mhz) { *mhz = 1200; return 0; }
int nvmlDeviceGetMaxClockInfo(device_t device, int clock, unsigned *mhz) { *mhz = 1980; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t device, unsigned long long *reasons) { *reasons = 4 /* power cap */; return 0; }
int nvmlDeviceGetIndex(device_t device, unsigned *index) { *index = (unsigned)(size_t)device - 1; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, unsigned *count, process_t *processes) {
    const char *list = getenv("FAKE_NVML_PROCESSES");
    if (!list)
        list = PROCESSES;
    unsigned room = *count, found = 0;
    while (list && *list) {
        char *end;
        unsigned pid = strtoul(list, &end, 10);
        unsigned long long mib = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
        if (processes && found < room)
            processes[found] = (process_t){pid, mib << 20, ~0u, ~0u};
        found++;
        list = *end == ',' ? end + 1 : "";
    }
    *count = found;
    return found > room ? 7 /* insufficient size */ : 0;
}
