# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for portlease(8)

# The ids and (first) external ports of the leases there are, as words for show and remove.
_portlease_leases()
{
	portlease list "$@" 2>/dev/null |
		awk 'NR > 1 { port = $2; sub(/.*:/, "", port); sub(/-.*/, "", port); print $1; print $4 ":" port }'
}

# The names of forwards, as words for remove: those that begin as the word to be completed.
_portlease_forwards()
{
	local current=$1 name
	shift
	portlease list --json --protocol static "$@" 2>/dev/null |
		sed -n 's/.*"name":"\([^"]*\)".*/\1/p' | sort -u |
		while read -r name; do
			printf -v name %q "$name"
			[[ $name != "$current"* ]] || printf '%s\n' "$name"
		done
}

_portlease()
{
	local current previous cur prev subcommand= words= i
	local socket=()
	current=${COMP_WORDS[COMP_CWORD]}
	previous=${COMP_WORDS[COMP_CWORD - 1]}
	# The colon of tcp:PORT divides words for readline; take the word as the user sees it.
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n : cur prev
		current=$cur previous=$prev
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket) socket=(--socket "${COMP_WORDS[++i]}") ;;
		status | list | show | remove | flush | add | reload | version | help)
			subcommand=${subcommand:-${COMP_WORDS[i]}}
			;;
		esac
	done
	case $previous in
	--protocol)
		words='nat-pmp pcp upnp static'
		[[ $subcommand != flush ]] || words='nat-pmp pcp upnp'
		;;
	--transport) words='tcp udp' ;;
	--socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	--helper) words='none ftp' ;;
	--client | --remote | --description) return ;;
	*)
		case $subcommand,$current in
		,-*) words='--json --socket --help' ;;
		,*) words='status list show remove flush add reload version help' ;;
		help,-*) words='--help' ;;
		help,*) words='status list show remove flush add reload version help' ;;
		flush,*) words='--client --protocol --transport --json --socket --help' ;;
		list,*) words='--client --protocol --transport --sessions --json --socket --help' ;;
		add,-*) words='--remote --helper --description --json --socket --help' ;;
		*,-*) words='--json --socket --help' ;;
		show,* | remove,*) words=$(_portlease_leases "${socket[@]}") ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	if [[ $subcommand == remove && $current != -* && $previous != --socket ]]; then
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(_portlease_forwards "$current" "${socket[@]}")
	fi
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$current"
	fi
}

complete -F _portlease portlease
