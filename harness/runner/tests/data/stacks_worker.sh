#!/bin/sh
# A worker that hangs while loading, after it has said how its stacks are had: `answers`, `silent`, `endless`, or `unannounced`.
stacks=',"stacks":{"signal":"SIGUSR1"}'
case $1 in
answers) trap 'echo "File \"a.py\", line 1 in load" >> "$PLACEBENCH_STACKS"' USR1 ;;
silent) trap '' USR1 ;;
endless) trap 'yes "File \"a.py\", line 1 in load" >> "$PLACEBENCH_STACKS"' USR1 ;;
unannounced)
  stacks=
  trap 'echo was signalled >&2' USR1
  ;;
esac
echo "{\"t_s\":0.1,\"event\":\"hello\",\"protocol\":1,\"engine\":\"stacks\",\"versions\":[],\"profile\":\"release\"$stacks}"
echo '{"t_s":0.2,"event":"phase","phase":"load"}'
while :; do sleep 0.02; done
