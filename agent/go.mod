module sylph/agent

go 1.24
