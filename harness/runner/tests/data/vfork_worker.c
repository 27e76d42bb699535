/* A worker whose first thread waits in the kernel and cannot be interrupted: for the child it has borrowed its memory to. */
#define _DEFAULT_SOURCE
#include <unistd.h>

int main(void) {
    if (vfork() == 0)
        for (;;) pause();
    return 0;
}
