/* The commands. Each takes the arguments behind its name and gives the exit status (console.h). */
#ifndef QVEC_CLI_COMMAND_H
#define QVEC_CLI_COMMAND_H

int qv__command_serve(int argc, char **argv);
int qv__command_embed(int argc, char **argv);
int qv__command_rerank(int argc, char **argv);
int qv__command_tokenize(int argc, char **argv);
int qv__command_info(int argc, char **argv);
int qv__command_quantize(int argc, char **argv);
int qv__command_verify(int argc, char **argv);
int qv__command_bench(int argc, char **argv);
int qv__command_bench_serve(int argc, char **argv);
int qv__command_bench_latency(int argc, char **argv);
int qv__command_bench_throughput(int argc, char **argv);
#endif
