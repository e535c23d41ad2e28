#!/bin/sh
# The firewall script that many small servers were set up with: the control beside the policy.
# It speaks of IPv4 only.
set -e

rule() { iptables -t filter -A "$@"; }
open_in() { rule INPUT -p "$1" --dport "$2" -j ACCEPT; }
answer_out() { rule OUTPUT -p "$1" --sport "$2" -j ACCEPT; }

echo "Configuring the firewall ..."

iptables -t filter -F
iptables -t filter -X
echo "Firewall reset"

iptables -t filter -P INPUT DROP
iptables -t filter -P FORWARD DROP
echo "Incoming and redirected traffic blocked"

iptables -t filter -P OUTPUT ACCEPT
echo "Outgoing traffic allowed"

for chain in INPUT OUTPUT; do
    rule $chain -m state --state RELATED,ESTABLISHED -j ACCEPT
done
echo "Established connections allowed"

rule INPUT -i lo -j ACCEPT
rule OUTPUT -o lo -j ACCEPT
echo "Loopback traffic allowed"

rule INPUT -p icmp -j ACCEPT
rule OUTPUT -p icmp -j ACCEPT
echo "Ping allowed"

open_in tcp 22
answer_out tcp 22
echo "SSH allowed"

for protocol in tcp udp; do
    answer_out $protocol 53
    rule OUTPUT -p $protocol --dport 53 -j ACCEPT
    open_in $protocol 53
done
echo "DNS allowed"

answer_out udp 123
echo "NTP allowed"

answer_out tcp 80
answer_out tcp 443
open_in tcp 80
open_in tcp 443
open_in tcp 8443

for port in 25 110 995 143; do
    open_in tcp $port
    answer_out tcp $port
done
echo "Emails protocols allowed"

for port in 20 21; do
    answer_out tcp $port
    open_in tcp $port
done
echo "FTP allowed"

answer_out tcp 50000:50100
open_in tcp 50000:50100
echo "Passive FTP server ports allowed"

echo "Firewall configuration completed"
