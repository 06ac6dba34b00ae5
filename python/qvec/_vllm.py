"""The arguments of vLLM's `LLM` that this engine has no use for, and what it says about them.

The names are those of vLLM's `EngineArgs` from release 0.8 (early 2025) to its main branch in the first half of 2026, all
together, so that a script for any of them opens. What is in neither list and no argument of `qvec.LLM` is a slip of the
pen, and refused."""
from __future__ import annotations

import difflib
import warnings
from typing import Any, Iterable, Mapping, NamedTuple

# One process on the CPU, exact arithmetic, no generation, no network: nothing of this can be set, and no vector differs.
_WITHOUT_MEANING = frozenset("""
    additional_config afd_config aggregate_engine_logging all2all_backend allow_deprecated_quantization
    allowed_media_domains async_scheduling attention_backend attention_config block_size calculate_kv_scales
    code_revision collect_detailed_traces compilation_config cp_kv_cache_interleave_size
    cpu_offload_gb cpu_offload_params cuda_graph_sizes cudagraph_capture_sizes cudagraph_metrics
    data_parallel_address data_parallel_backend data_parallel_external_lb data_parallel_hybrid_lb data_parallel_rank
    data_parallel_rpc_port data_parallel_size data_parallel_size_local data_parallel_start_rank
    dbo_decode_token_threshold dbo_prefill_token_threshold dcp_comm_backend dcp_kv_cache_interleave_size
    decode_context_parallel_size device disable_async_output_proc disable_cascade_attn disable_chunked_mm_input
    disable_custom_all_reduce disable_hybrid_kv_cache_manager disable_log_requests disable_log_stats
    disable_mm_preprocessor_cache disable_nccl_for_dp_synchronization disable_sliding_window
    distributed_executor_backend distributed_timeout_seconds dtype ec_transfer_config enable_chunked_prefill
    enable_dbo enable_elastic_ep enable_ep_weight_filter enable_eplb enable_expert_parallel enable_fault_tolerance
    enable_flashinfer_autotune enable_layerwise_nvtx_tracing enable_log_requests enable_logging_iteration_details
    enable_mamba_cache_stochastic_rounding enable_mfu_metrics enable_mm_embeds enable_mm_processor_stats
    enable_multimodal_encoder_data_parallel enable_prefix_caching enable_prompt_adapter enable_prompt_embeds
    enable_reasoning enable_return_routed_experts enable_sleep_mode enforce_eager engine_recovery_timeout
    eplb_config eplb_log_balancedness eplb_step_interval eplb_window_size expert_placement_strategy
    external_fault_notify_port external_parameters fail_on_environ_validation gdn_prefill_backend generation_config
    gloo_comm_timeout gpu_memory_utilization guided_decoding_backend guided_decoding_disable_additional_properties
    guided_decoding_disable_any_whitespace guided_decoding_disable_fallback hf_token ignore_patterns
    interleave_mm_strings internal_fault_report_port io_processor_plugin ir_op_priority kernel_config kv_cache_dtype
    kv_cache_dtype_skip_layers kv_cache_memory_bytes kv_cache_metrics kv_cache_metrics_sample kv_events_config
    kv_offloading_backend kv_offloading_size kv_sharing_fast_prefill kv_transfer_config limit_mm_per_prompt
    logits_processor_pattern logits_processors logprobs_mode long_prefill_token_threshold mamba_backend
    mamba_block_size mamba_cache_dtype mamba_cache_mode mamba_cache_philox_rounds mamba_config mamba_ssm_cache_dtype
    master_addr master_port max_cudagraph_capture_size max_logprobs max_long_partial_prefills
    max_num_partial_prefills max_num_seqs max_parallel_loading_workers max_prompt_adapter_token max_prompt_adapters
    max_seq_len_to_capture mm_encoder_attn_backend mm_encoder_attn_dtype mm_encoder_fp8_scale_path
    mm_encoder_fp8_scale_save_margin mm_encoder_fp8_scale_save_path mm_encoder_tp_mode mm_processor_cache_gb
    mm_processor_cache_type mm_shm_cache_max_object_size_mb mm_tensor_ipc model_impl model_loader_extra_config
    moe_backend multi_step_stream_outputs nnodes node_rank num_gpu_blocks_override num_lookahead_slots
    num_redundant_experts num_scheduler_steps numa_bind numa_bind_cpus numa_bind_nodes offload_backend
    offload_group_size offload_num_in_group offload_params offload_prefetch_step optimization_level
    otlp_traces_endpoint override_attention_dtype override_generation_config override_neuron_config performance_mode
    pipeline_parallel_size preemption_mode prefill_context_parallel_size prefix_caching_hash_algo profiler_config
    pt_load_map_location ray_workers_use_nsight reasoning_config reasoning_parser reasoning_parser_plugin
    renderer_num_workers safetensors_load_strategy scheduler_cls scheduler_delay_factor scheduler_reserve_full_isl
    scheduling_policy seed served_model_name show_hidden_metrics_for_version shutdown_on_fault_tolerance_failure
    shutdown_timeout skip_mm_profiling skip_tokenizer_init speculative_config stream_interval
    structured_outputs_config swap_space tensor_parallel_size tokenizer_pool_extra_config tokenizer_pool_size
    tokenizer_pool_type tokens_only trust_remote_code ubatch_size use_tqdm_on_load use_v2_block_manager
    weight_transfer_config worker_cls worker_extension_cls
    """.split())

_OWN_FOLDER = "the tokenizer comes from the model's own folder"
_NO_ADAPTERS = "there are no adapters: vectors are those of the weights in the folder"
_AS_PUBLISHED = "config.json is taken as it is"

# These do mean something, and would change vectors or scores: what is done in their place.
_INSTEAD: Mapping[str, str] = {
    "chat_template": "prompts are embedded as they are, and scores apply the published recipe",
    "config_format": "config.json is read in its published form",
    "default_mm_loras": _NO_ADAPTERS,
    "enable_lora": _NO_ADAPTERS,
    "enable_lora_bias": _NO_ADAPTERS,
    "enable_tower_connector_lora": _NO_ADAPTERS,
    "fully_sharded_loras": _NO_ADAPTERS,
    "hf_config_path": _AS_PUBLISHED,
    "hf_overrides": _AS_PUBLISHED + ", and a reranker scores by its yes and no",
    "language_model_only": "pictures and videos are read as well",
    "long_lora_scaling_factors": _NO_ADAPTERS,
    "lora_dtype": _NO_ADAPTERS,
    "lora_extra_vocab_size": _NO_ADAPTERS,
    "lora_target_modules": _NO_ADAPTERS,
    "max_cpu_loras": _NO_ADAPTERS,
    "max_lora_rank": _NO_ADAPTERS,
    "max_loras": _NO_ADAPTERS,
    "media_io_kwargs": "fps and max_frames are read from mm_processor_kwargs",
    "mm_encoder_only": "the whole model is computed",
    "override_pooler_config": "the last token is pooled and brought to unit length",
    "pooler_config": "the last token is pooled and brought to unit length",
    "quantization_config": "weights are taken as they are, or in 8 bits with quantization='int8'",
    "revision": "the snapshot that refs/main names is opened; give the folder of another one as the model",
    "rope_scaling": _AS_PUBLISHED,
    "rope_theta": _AS_PUBLISHED,
    "specialize_active_lora": _NO_ADAPTERS,
    "tokenizer": _OWN_FOLDER,
    "tokenizer_mode": "there is one tokenizer, with the same ids as the reference's",
    "tokenizer_revision": _OWN_FOLDER,
    "video_pruning_rate": "all frames that are read are computed",
}

# Values that ask for what is done anyway, beside None, False and what is empty.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "config_format": ("auto", "hf"), "revision": ("main",), "tokenizer_mode": ("auto", "hf"), "tokenizer_revision": ("main",)}


class Arguments(NamedTuple):
    """What of a constructor's further arguments is to be told."""
    idle: list[str]
    instead: dict[str, str]

    def warn(self, stacklevel: int) -> None:
        """One warning for all."""
        told = [f"without meaning in qvec: {', '.join(self.idle)}"] if self.idle else []
        if self.instead:
            told.append("not done by qvec: " + ", ".join(f"{name} ({why})" for name, why in self.instead.items()))
        if told:
            warnings.warn("; ".join(told), stacklevel=stacklevel + 1)


def sort_arguments(given: Mapping[str, Any], own: Iterable[str], model: object) -> Arguments:
    """`given` by what is to be said about them. own: the names that the caller takes, for the hint behind a slip; model:
    its name, which is fine as the tokenizer's too."""
    for name in sorted(given):
        if name not in _WITHOUT_MEANING and name not in _INSTEAD:
            near = difflib.get_close_matches(name, [*own, *_WITHOUT_MEANING, *_INSTEAD], 1)
            raise TypeError(f"LLM has no argument {name!r}" + (f"; is {near[0]!r} meant?" if near else ""))
    usual: Mapping[str, tuple[Any, ...]] = {**_USUAL, "tokenizer": (model,)}
    return Arguments(sorted(name for name in given if name in _WITHOUT_MEANING),
                     {name: _INSTEAD[name] for name, value in sorted(given.items())
                      if name in _INSTEAD and value and value not in usual.get(name, ())})
