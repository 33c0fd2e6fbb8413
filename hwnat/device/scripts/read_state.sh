. state.sh
state
