# What the two functions give is known exactly; on the network it is known which method is the noisier, and which
# one adds up.

# row(METHOD SATURATED DUMMY): the method's last two figures; sets `flips` and `off` to the first two.
function(row method saturated dummy)
  set(number "([0-9.e+-]+)")
  if(NOT said MATCHES "\n${method} +${number} +${number} +${saturated} +${dummy}\n")
    message(FATAL_ERROR "${method} does not give ${saturated} and ${dummy}")
  endif()
  set(flips ${CMAKE_MATCH_1} PARENT_SCOPE)
  set(off ${CMAKE_MATCH_2} PARENT_SCOPE)
endfunction()

row("input x gradient" 0 0)
row("guided backpropagation" 0 1)
row("deconvnet" 0 1)
row("Integrated Gradients" 1 0)
if(off GREATER 0.05)
  message(FATAL_ERROR "Integrated Gradients do not add up")
endif()
row("SmoothGrad" 0 0)
set(smooth_flips ${flips})
row("vanilla gradient" 0 0)
if(NOT flips GREATER smooth_flips OR NOT smooth_flips GREATER 0)
  message(FATAL_ERROR "the vanilla gradient is not noisier than SmoothGrad")
endif()
if(off LESS 0.5)
  message(FATAL_ERROR "the vanilla gradient adds up, as it does not on this network")
endif()
