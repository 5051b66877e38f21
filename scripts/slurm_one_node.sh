#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, in a folder of its own, for the
# tests and for trying things out. Debian: slurmctld slurmd slurm-client munge.
#
#   scripts/slurm_one_node.sh start DIR     # prints the SLURM_CONF to use
#   scripts/slurm_one_node.sh stop DIR
#
# It runs as the user who starts it (root), with ports and a munge socket of its
# own, so that it disturbs no other Slurm.
set -euo pipefail

dir=$(mkdir -p "${2:?a folder}" && cd "$2" && pwd)
node=$(hostname -s)
# Below 32768, where the ports of outgoing connections begin: a load test beside
# it holds thousands of those.
port=$((20000 + $(cksum <<<"$dir" | cut -d' ' -f1) % 12000))

start() {
  for need in munged slurmctld slurmd srun; do
    command -v "$need" >/dev/null || { echo "slurm_one_node.sh: $need is not installed: apt-get install slurmctld slurmd slurm-client munge" >&2; exit 2; }
  done
  mkdir -p "$dir/state" "$dir/spool"
  chmod 755 "$dir"
  if [[ ! -e $dir/munge.key ]]; then
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
  fi
  munged --force --key-file "$dir/munge.key" --socket "$dir/munge.socket" \
    --pid-file "$dir/munged.pid" --log-file "$dir/munged.log" --seed-file "$dir/munged.seed" >/dev/null
  cat >"$dir/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
ReturnToService=2
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
KillWait=2
# Slots, not cores: the tasks are light, and four of them shall fit a small machine.
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=64 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$dir/slurm.conf
  # A daemon that kept our output open would keep a caller waiting for its end.
  slurmctld -c -f "$SLURM_CONF" >/dev/null 2>&1
  slurmd -c -f "$SLURM_CONF" -N "$node" >/dev/null 2>&1
  SECONDS=0
  while ((SECONDS < 30)); do
    if timeout 2 sinfo -h -o %t 2>/dev/null | grep -q idle; then
      echo "SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.2
  done
  echo "slurm_one_node.sh: the node is not idle after 30 s: see $dir/slurmctld.log and slurmd.log" >&2
  for log in slurmctld slurmd; do tail -n 5 "$dir/$log.log" >&2; done
  stop
  exit 1
}

stop() {
  for daemon in slurmd slurmctld munged; do
    local pid=
    read -r pid 2>/dev/null <"$dir/$daemon.pid" || continue
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 50); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
  done
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
  ;;
esac
