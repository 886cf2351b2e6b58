module sylph/floor-agent

go 1.24
