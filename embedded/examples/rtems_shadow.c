/* slewguard in shadow mode as an RTEMS task: judges each alert, sends the answer to the ground, decides nothing.
 *
 * Two tasks: one waits for alerts on a message queue and judges them, one scrubs the weights in the background, 64
 * bytes at a time. The platform gives three functions; everything else is here. Build it with slewguard.c,
 * slewguard_network.c, slewguard_planes.c, slewguard_weights.c, slewguard_selftest.c and slewguard_golden.c.
 */
#include <rtems.h>

#include "slewguard.h"

/* An alert as the trigger leaves it in memory: it stays there until the next one. */
typedef struct {
    const int32_t *snr;   /* fixed point, SLEWGUARD_SNR_MISSING for no data */
    const uint8_t *mask;
    int32_t catalogue_id; /* of a source at the trigger, or -1 */
    uint32_t event;       /* looks at one event share a number */
} alert_t;

/* The platform's: a record for telemetry, a line for the event log, the queue on which alerts arrive. */
void platform_send(const uint8_t record[8]);
void platform_log(uint32_t what, uint32_t value);
rtems_id platform_alerts(void);

enum {
    LOG_SELFTEST = 1,
    LOG_DAMAGED = 2
};

static int8_t planes[SLEWGUARD_PLANES_BYTES];
static uint32_t scratch[SLEWGUARD_SCRATCH_WORDS];

/* Set by the scrubber, read by the judge: once damaged, the answer is abstain until the weights are loaded again. */
static volatile uint32_t damaged;

static rtems_task judge_alerts(rtems_task_argument unused)
{
    const uint32_t fault = slewguard_selftest(&slewguard_weights, scratch);
    slewguard_sequence_t sequence;
    uint32_t event = 0;
    uint8_t counter = 0;

    (void)unused;
    platform_log(LOG_SELFTEST, fault);
    slewguard_begin(&sequence);
    for (;;) {
        alert_t alert;
        size_t size = 0;
        uint8_t record[8];
        slewguard_answer_t answer = {SLEWGUARD_ABSTAIN, SLEWGUARD_NOT_READY, 0};

        if (rtems_message_queue_receive(platform_alerts(), &alert, &size, RTEMS_WAIT, RTEMS_NO_TIMEOUT)
            != RTEMS_SUCCESSFUL || size != sizeof alert) {
            continue;
        }
        if (alert.event != event) {
            event = alert.event;
            slewguard_begin(&sequence);
        }
        if (fault == 0u && damaged == 0u) {
            (void)slewguard_judge_alert(
                &slewguard_weights, alert.snr, alert.mask, alert.catalogue_id, planes, scratch, &sequence, &answer);
        }
        slewguard_record(&answer, &sequence, counter, record);
        counter++;
        platform_send(record);
    }
}

static rtems_task scrub_weights(rtems_task_argument unused)
{
    slewguard_scrub_t scrub = {0, 0};

    (void)unused;
    for (;;) {
        if (slewguard_scrub(&slewguard_weights, &scrub, 64u) == (uint32_t)SLEWGUARD_SCRUB_DAMAGED) {
            damaged = 1;
            platform_log(LOG_DAMAGED, 0);
        }
        (void)rtems_task_wake_after(10);
    }
}

static void start(rtems_name name, rtems_task_priority priority, rtems_task_entry entry)
{
    rtems_id task;

    if (rtems_task_create(name, priority, 4096, RTEMS_DEFAULT_MODES, RTEMS_DEFAULT_ATTRIBUTES, &task)
        == RTEMS_SUCCESSFUL) {
        (void)rtems_task_start(task, entry, 0);
    }
}

rtems_task Init(rtems_task_argument unused)
{
    (void)unused;
    start(rtems_build_name('S', 'L', 'E', 'W'), 100, judge_alerts);
    start(rtems_build_name('S', 'C', 'R', 'B'), 200, scrub_weights);
    rtems_task_exit();
}
