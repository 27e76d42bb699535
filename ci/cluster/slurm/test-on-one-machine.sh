#!/usr/bin/env bash
# The scripts of this folder on a real Slurm: sets a controller and a node of four processors up in a temporary folder on this
# machine, submits an array of four shards, ends each of them in another way, and holds the merged run to an unsharded one.
# Needs root, Debian's slurm-wlm and munge (`apt-get install slurm-wlm munge`), and placebench (SHARD_PROGRAM, the one on the
# PATH, or a debug build without candle). Touches no Slurm that is set up here, and leaves nothing behind.
set -euo pipefail
[ "$(id -u)" = 0 ] || {
    echo "error: slurmd starts jobs as their users: run this as root" >&2
    exit 2
}
for tool in munged slurmctld slurmd sbatch python3; do
    command -v "$tool" > /dev/null || {
        echo "error: $tool is not installed; on Debian: apt-get install slurm-wlm munge" >&2
        exit 2
    }
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
program=${SHARD_PROGRAM:-$(command -v placebench || true)}
if [ -z "$program" ]; then
    (cd "$root" && cargo build --locked --quiet -p placebench --no-default-features)
    program=$root/target/debug/placebench
fi
unset "${!SLURM_@}" "${!SBATCH_@}" "${!SHARD_@}" "${!PLACEBENCH_@}"
work=$(mktemp -d -t placebench-slurm.XXXXXX)
daemons=()
failures=0 checks=0

clean_up() {
    local status=$? pid
    [ ! -f "$work/slurm.conf" ] || scancel --quiet --user=root 2> /dev/null || true
    # The jobs first: slurmd ends them.
    for _ in $(seq 50); do
        [ -n "$(squeue --noheader 2> /dev/null)" ] || break
        sleep 0.2
    done
    for pid in "${daemons[@]}"; do
        kill "$pid" 2> /dev/null || true
    done
    wait
    if [ "$status" -eq 0 ] && [ "$failures" -eq 0 ]; then
        rm -rf "$work"
    else
        echo "kept for looking at: $work" >&2
    fi
}
trap clean_up EXIT

check() { # what is to be true, then the command that says so
    local name=$1
    shift
    checks=$((checks + 1))
    if "$@"; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        failures=$((failures + 1))
    fi
}
wait_for() { # seconds, then the command that is to succeed
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || {
            echo "error: waited in vain for: $*" >&2
            return 1
        }
        sleep 0.1
    done
}

# --- a cluster of one machine ---------------------------------------------------------------------------------------------
start_slurmd() {
    slurmd -D -f "$work/slurm.conf" -N one >> "$work/slurmd.out" 2>&1 &
    slurmd=$!
    daemons+=("$slurmd")
}
start_cluster() {
    local controller_port node_port
    read -r controller_port node_port < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
    mkdir -p "$work"/{state,spool,munge}
    chmod 755 "$work"
    # Munge wants the folder of its socket to be open, and those of its key and log to be its own.
    chmod 755 "$work/munge"
    head -c 1024 /dev/urandom > "$work/munge/key"
    chmod 600 "$work/munge/key"
    munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
        --log-file="$work/munge/log" --seed-file="$work/munge/seed" > "$work/munge/out" 2>&1 &
    daemons+=($!)
    wait_for 10 test -S "$work/munge/socket"
    # A job that was put back waits until credentials of its first start are no more: two minutes where nobody says less.
    cat > "$work/slurm.conf" << CONF
ClusterName=placebench-test
SlurmctldHost=$(uname -n)(127.0.0.1)
SlurmctldPort=$controller_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,sched_min_interval=100000,batch_sched_delay=0
ReturnToService=2
JobRequeue=1
KillWait=20
MessageTimeout=5
BatchStartTimeout=5
SlurmdTimeout=60
MinJobAge=3600
NodeName=one NodeHostname=$(uname -n) NodeAddr=127.0.0.1 Port=$node_port CPUs=4 RealMemory=1024 State=UNKNOWN
PartitionName=all Nodes=one Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF=$work/slurm.conf
    slurmctld -D -f "$work/slurm.conf" > "$work/slurmctld.out" 2>&1 &
    daemons+=($!)
    start_slurmd
    wait_for 30 sh -c 'sinfo --noheader --format=%T | grep -qx idle'
}

# --- suites -----------------------------------------------------------------------------------------------------------------
write_suite() { # folder, delay of a hop
    local suite=$1 delay=$2 name
    mkdir -p "$suite/models/m"
    printf 'schema_version = 1\nengine = "mock"\n' > "$suite/defaults.toml"
    echo '{"num_hidden_layers": 8}' > "$suite/models/m/config.json"
    for name in a b c d; do
        # Three comparison groups in each file; one case of `d` fails, whoever runs it.
        cat > "$suite/$name.toml" << TOML
schema_version = 1
[model]
path = "models/m"
[devices]
"sim:0" = { on = "cpu", memory = "1MiB" }
"sim:1" = { on = "cpu", memory = "1MiB" }
[[prompt]]
name = "p"
text = "Hello"
[[prompt]]
name = "q"
text = "Bye"
[[prompt]]
name = "r"
text = "Well"
[generation]
max_new_tokens = 8
[placement.single]
device_map = "cpu"
[placement.split]
device_map = { "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "model.layers.4-7" = "sim:1", "model.norm" = "sim:1", "lm_head" = "sim:1" }
$([ "$name" != d ] || printf '[placement.split.expect]\ncontains = ["no such text"]\n')
[[fault]]
kind = "slow_link"
delay = "$delay"
placements = ["split"]
[measure]
warmup = 0
repetitions = 4
[expect]
agreement = { reference = "single", rule = "exact" }
TOML
    done
}

# --- what is looked at -------------------------------------------------------------------------------------------------------
submit() { # arguments of submit.sh; sets array and merge
    bash "$here/submit.sh" --program "$program" --dir "$work/shared" "$@" > "$work/submitted"
    read -r array merge < <(sed -n 's/.*array job \([0-9]*\), merged by job \([0-9]*\)$/\1 \2/p' "$work/submitted")
}
state_of() { # job
    scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | head -n 1
}
has_ended() { # job
    case $(state_of "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return 0 ;; esac
    return 1
}
is_waiting() { # job
    [ "$(state_of "$1")" = PENDING ]
}
exit_code_of() { # job
    scontrol show job "$1" | sed -n 's/.*ExitCode=\([0-9]*\):.*/\1/p' | head -n 1
}
restarts_of() { # shard
    scontrol show job "${array}_$1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p' | head -n 1
}
shard_folder() { # run, shard, shards
    echo "$work/shared/$1/shards/$1-shard-$2-of-$3"
}
attempts_in() { # folder of a run
    wc -l 2> /dev/null < "$1/attempts.jsonl" || echo 0
}
has_attempts() { # folder, at least
    [ "$(attempts_in "$1")" -ge "$2" ]
}
supervisor_of() { # name of the run; workers do not have it on their command line
    pgrep -f -- "--run-id $1 " | while read -r pid; do
        [ "$(readlink "/proc/$pid/exe")" != "$(realpath "$program")" ] || echo "$pid"
    done
}
programs_running() {
    local pid
    for pid in /proc/[0-9]*; do
        [ "$(readlink "$pid/exe" 2> /dev/null)" = "$(realpath "$program")" ] && [ "$(readlink "$pid/cwd")" = "$work/cwd" ] && echo "${pid#/proc/}"
    done
    return 0
}
none_running() {
    [ -z "$(programs_running)" ]
}
starts_with() { # file, earlier content of it
    cmp --silent --bytes="$(stat -c %s "$2")" "$1" "$2"
}
same_run() { # unsharded run, merged run
    python3 - "$1" "$2" << 'PYTHON'
import collections, json, pathlib, sys
def essence(folder):
    folder = pathlib.Path(folder)
    verdict = json.loads((folder / "verdict.json").read_text())
    made = [json.loads(line) for line in open(folder / "attempts.jsonl")]
    numbers = collections.Counter((a["case"], a["attempt"]) for a in made)
    assert all(count == 1 for count in numbers.values()), "an attempt is on record twice"
    texts = {(a["case"], a["attempt"]): [g["output_ids"] for g in a["generations"]] for a in made}
    cases = [c["case"] for c in json.loads((folder / "run.json").read_text())["cases"]]
    judged = [(c["case"], c["status"], c["text"], c["attempts"], c["findings"]) for c in verdict["cases"]]
    return {"exit code": verdict["exit_code"], "complete": verdict["complete"], "cases": cases, "texts": texts,
            "judged": judged, "attempts": len(made)}
alone, merged = (essence(folder) for folder in sys.argv[1:])
assert alone["attempts"] == 96, alone["attempts"]
for key in alone:
    if alone[key] == merged[key]:
        continue
    if isinstance(alone[key], dict):
        names = sorted(n for n in alone[key].keys() | merged[key].keys() if alone[key].get(n) != merged[key].get(n))
        sys.exit(f"     {key} of {names} differ")
    sys.exit(f"     {key}: {alone[key]} is not {merged[key]}")
print(f"     {merged['attempts']} attempts of {len(merged['cases'])} cases, exit code {merged['exit code']}")
PYTHON
}
says() { # file, text
    grep --quiet --fixed-strings -- "$2" "$1"
}

# --- a run whose shards are all disturbed ------------------------------------------------------------------------------------
disturbed_array() {
    local shard folder pid stepd before=$work/before
    mkdir -p "$before"
    write_suite "$work/slow" 120ms
    # Mostly sleeping, like the shards.
    "$program" run "$work/slow" --quiet --output-dir "$work/alone" > "$work/alone.log" 2>&1 &
    alone=$!
    submit --shards 4 --kind slice --name disturbed "$work/slow"
    for shard in 1 2 3 4; do
        wait_for 60 has_attempts "$(shard_folder disturbed "$shard" 4)" 2
        cp "$(shard_folder disturbed "$shard" 4)/attempts.jsonl" "$before/$shard"
        case $shard in
        1) # As Slurm says that the time of a job is nearly over.
            scancel --batch --signal=USR1 "${array}_1"
            ;;
        2) # All at once, so that the supervisor has no time to write down that its worker was killed.
            pid=$(supervisor_of disturbed-shard-2-of-4)
            kill -STOP "$pid"
            pgrep -P "$pid" | xargs --no-run-if-empty kill -KILL
            kill -KILL "$pid"
            ;;
        3) # As an operator or a preemption does.
            scontrol requeue "${array}_3"
            wait_for 60 is_waiting "${array}_3"
            ;;
        4) # As a node dies: Slurm's own process of the job is gone, and so is the daemon.
            pid=$(supervisor_of disturbed-shard-4-of-4)
            stepd=$(ps -o ppid= -p "$(ps -o ppid= -p "$pid" | tr -d ' ')" | tr -d ' ')
            [ "$(cat "/proc/$stepd/comm")" = slurmstepd ] || return 1
            kill -KILL "$stepd"
            wait_for 30 sh -c "! kill -0 $pid 2> /dev/null"
            check "a shard whose slurmstepd is killed ends and leaves no process" none_of_shard 4
            kill -KILL "$slurmd"
            wait "$slurmd" 2> /dev/null || true
            # Slurm misses a job that is older than BatchStartTimeout and MessageTimeout together.
            sleep 12
            start_slurmd
            ;;
        esac
    done
    wait_for 240 has_ended "$merge"
    for shard in 1 2 3 4; do
        folder=$(shard_folder disturbed "$shard" 4)
        check "shard $shard was put back into the queue" test "$(restarts_of "$shard")" -ge 1
        check "shard $shard kept what it had made before" starts_with "$folder/attempts.jsonl" "$before/$shard"
    done
    wait "$alone" || true
    check "the merged run is the run of one machine" same_run "$work/alone/latest" "$work/shared/disturbed/merged/latest"
    check "the merge job ends with the verdict's exit code" test "$(exit_code_of "$merge")" = 100
    check "no supervisor and no worker is left" none_running
}
none_of_shard() { # shard
    [ -z "$(supervisor_of "disturbed-shard-$1-of-4")" ]
}

# --- shards that are missing or cancelled ------------------------------------------------------------------------------------
missing_shard() {
    local log
    write_suite "$work/fast" 1ms
    submit --shards 4 --kind slice --name missing --only 1,2,4 "$work/fast"
    wait_for 120 has_ended "$merge"
    log=$work/shared/missing/logs/merge-$merge.log
    check "a merge without a shard is refused" test "$(exit_code_of "$merge")" = 96
    check "and names the shard" says "$log" "shard slice:3/4 is missing"
    check "the table of shards does too" says "$log" "shard 3 of 4: never began"
    check "nothing is merged by halves" test ! -e "$work/shared/missing/merged"
    submit --shards 4 --kind slice --name missing --only 3 "$work/fast"
    wait_for 120 has_ended "$merge"
    check "with the shard made later the merge passes judgement" test "$(exit_code_of "$merge")" = 100
    check "and is the run of one machine" same_run "$work/alone/latest" "$work/shared/missing/merged/latest"
}
cancelled_shard() {
    local folder
    submit --shards 1 --name cancelled "$work/slow"
    folder=$(shard_folder cancelled 1 1)
    wait_for 60 has_attempts "$folder" 2
    scancel "${array}_1"
    wait_for 60 has_ended "$merge"
    check "a cancelled shard stays cancelled" test "$(state_of "${array}_1")" = CANCELLED
    check "its record is closed" says "$folder/verdict.json" '"complete": false'
    check "its workers are gone" none_running
    check "the merge says that it is not finished" says "$work/shared/cancelled/logs/merge-$merge.log" \
        "run --resume cancelled-shard-1-of-1"
}

mkdir -p "$work/cwd" "$work/shared"
cd "$work/cwd"
start_cluster
echo "slurm $(slurmctld -V | awk '{ print $2 }') with one node of four processors"
disturbed_array
missing_shard
cancelled_shard
echo "$checks checks, $failures failed, $SECONDS s"
[ "$failures" -eq 0 ]
